"""Alerts and dashboard: promtool accepts them, they use existing metrics, and each alert is documented."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from hack.values_table import CHART

ROOT = CHART.parents[1]
ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
UNIT_TESTS = ROOT / "tests" / "chart" / "alerts.test.yaml"
METRIC = re.compile(r"\b(?:eso|process)_[a-z_]+\b")
OF_A_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def expressions(board: dict[str, Any]) -> list[str]:
    """Every query of the dashboard, with its variables replaced."""
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    asked += [one["expr"] for one in board["annotations"]["list"]]
    return [text.replace("$__rate_interval", "5m") for text in asked]


def ask(tool: Path, *arguments: str) -> str:
    done = subprocess.run((tool, *arguments), check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alerts_fire_only_on_their_condition(promtool: Path, tmp_path: Path) -> None:
    ask(promtool, "check", "rules", str(ALERTS))
    tests = tmp_path / "alerts.test.yaml"
    tests.write_text(UNIT_TESTS.read_text().replace("[ALERTS]", f"[{ALERTS}]"))
    assert "SUCCESS" in ask(promtool, "test", "rules", str(tests))


def test_each_alert_has_a_firing_and_a_quiet_case() -> None:
    cases = [one for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for one in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules()}
    assert {one["alertname"] for one in cases if one.get("exp_alerts")} == names
    assert {one["alertname"] for one in cases if not one.get("exp_alerts")} == names


def test_each_alert_has_a_heading_in_the_documents() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    assert all({"summary", "description"} == rule["annotations"].keys() for rule in rules())
    assert {rule["labels"]["severity"] for rule in rules()} == {"warning", "critical"}


def test_alerts_and_dashboard_use_existing_metrics() -> None:
    told = set(re.findall(r"^\| `(eso_[a-z_]+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    told |= {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
    asked = {
        OF_A_HISTOGRAM.sub("", name)
        for text in (*expressions(dashboard()), *(rule["expr"] for rule in rules()))
        for name in METRIC.findall(text)
    }
    assert asked - told == set()


def test_dashboard_queries_are_valid_promql(promtool: Path, tmp_path: Path) -> None:
    asked = expressions(dashboard())
    assert len(asked) > 30
    recorded = [{"record": f"panel:{place}", "expr": text} for place, text in enumerate(asked)]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    ask(promtool, "check", "rules", str(file))


def test_dashboard_has_the_fields_that_grafana_requires() -> None:
    """The data source is a variable; panels have unique ids."""
    board = dashboard()
    assert board["uid"] == "external-service-operator"
    assert "id" not in board
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    sources = {json.dumps(panel["datasource"]) for panel in panels if panel["type"] != "row"}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}


def labels_of_metrics() -> dict[str, set[str]]:
    """From docs/metrics.md: name -> labels."""
    rows = re.findall(
        r"^\| `(eso_[a-z_]+)` \| \w+ \| ([^|]*) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    return {name: {label.strip() for label in labels.split(",")} for name, labels in rows}


def test_dashboard_panels_use_the_variables() -> None:
    labels = labels_of_metrics()
    for text in expressions(dashboard()):
        for name, selector in re.findall(r"\b((?:eso|process)_[a-z_]+)(\{[^}]*\})?", text):
            wanted = {'job=~"$job"'}
            if {"namespace", "name"} <= labels.get(OF_A_HISTOGRAM.sub("", name), set()):
                wanted |= {'namespace=~"$namespace"', 'name=~"$name"'}
            assert wanted <= set(selector.strip("{}").split(",")), text


def test_dashboard_panels_have_one_unit_and_a_description() -> None:
    """No panel mixes rates and gauges."""
    for panel in dashboard()["panels"]:
        if panel["type"] not in ("timeseries", "stat"):
            continue
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        rates = {"rate(" in target["expr"] for target in panel["targets"]}
        assert len(rates) == 1, panel["title"]
        overridden = [override["properties"] for override in panel["fieldConfig"]["overrides"]]
        assert "unit" not in [one["id"] for properties in overridden for one in properties], panel["title"]


def test_dashboard_counters_are_rates_over_the_scrape_interval() -> None:
    """As grafana's dashboard-linter: no bare counter, no fixed range that a long scrape interval leaves empty."""
    for panel in dashboard()["panels"]:
        for text in (target["expr"] for target in panel.get("targets", ())):
            counters = re.findall(r"(?<![a-z_])(?:rate|increase)\((?:eso|process)_[a-z_]+\{[^}]*\}\[([^]]+)\]\)", text)
            assert set(counters) <= {"$__rate_interval"}, text
            assert len(counters) == len(re.findall(r"_(?:total|bucket|count|sum)\{", text)), text
            assert panel["type"] in ("table", "stat") or all(one["legendFormat"] for one in panel["targets"])

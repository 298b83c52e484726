"""The kustomize components build on metacontroller/ and say what the chart says with the same thing switched on."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart_manifests import COMPONENTS, NAME, written
from tests.chart.binaries import Missing, helm
from tests.chart.rendering import API, MUTATING_POLICIES, Object, Rendered, render
from tests.contract.test_chart import cannot_run, identity, plain, rights

DEFAULT = yaml.safe_load((COMPONENTS.parent / "kustomization.yaml").read_text())["components"]
"""Components of metacontroller/ itself, as paths below it."""
ALL = sorted(path.name for path in COMPONENTS.iterdir() if f"components/{path.name}" not in DEFAULT)

BASE: Object = {"webhook": {"token": {"mode": "secret", "secretName": "hook-token"}}, "tests": {"enabled": False}}
"""Values with which the chart says what metacontroller/ says: its Secret has another name."""

VALUES: dict[str, Object] = {
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "tls": {"webhook": BASE["webhook"] | {"tls": {"mode": "certManager"}}},
    "gateway-api": {"compositeController": {"gatewayAPI": True}},
    "admission-policy": {"addressPolicy": {"admission": {"enabled": True}}},
    "probe-secrets": {"probeSecrets": {"enabled": True}},
    "status-policy": {"statusPolicy": {"enabled": True}},
}
"""Values of the chart that switch on the same."""

Build = Callable[..., list[Object]]


@pytest.fixture(scope="session")
def kubectl() -> str:
    found = shutil.which("kubectl")
    if found is None:
        cannot_run("no `kubectl` in PATH to build with")
    return found


@pytest.fixture
def build(kubectl: str, tmp_path: Path) -> Build:
    """`kubectl kustomize` of an overlay of metacontroller/ with components."""

    def built(*components: str) -> list[Object]:
        def relative(path: Path) -> str:
            return os.path.relpath(path, tmp_path)

        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [relative(COMPONENTS.parent)],
            "components": [relative(COMPONENTS / name) for name in components],
        }
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        done = subprocess.run(
            (kubectl, "kustomize", str(tmp_path)), check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    return built


@pytest.fixture
def chart(tmp_path: Path) -> Callable[[Object], Rendered]:
    try:
        binary = helm()
    except Missing as why:
        cannot_run(why)
    newest = f"{API},{MUTATING_POLICIES}"
    return lambda values: render(binary, tmp_path, values, api=newest if "statusPolicy" in values else API)


def test_each_component_has_an_equivalent_in_the_chart() -> None:
    assert set(VALUES) == set(ALL)
    assert DEFAULT == ["components/networkpolicy", "components/token"]


def said(manifests: list[Object]) -> dict[tuple[str, str, str], Any]:
    """Content of each object, except labels and fields that only the chart's Pod has."""
    return {identity(one): plain({key: one.get(key) for key in ("spec", "data")}) for one in manifests}


def pod(manifest: Any) -> dict[str, Any]:
    """Mounts and volumes."""
    spec = manifest["spec"]["template"]["spec"]
    return {
        "volumes": {one["name"]: one for one in spec["volumes"]},
        "mounts": {one["name"]: one.get("volumeMounts") for one in spec["containers"]},
    }


@pytest.mark.parametrize("name", ALL)
def test_component_equals_the_chart_rendering(build: Build, chart: Callable[[Object], Rendered], name: str) -> None:
    compare(build(name), chart(BASE | VALUES[name]))


def test_base_equals_the_chart_defaults(build: Build, chart: Callable[[Object], Rendered]) -> None:
    theirs, ours = build(), chart(BASE)
    compare(theirs, ours)
    (role,) = (one for one in theirs if identity(one)[:2] == ("ClusterRole", f"{NAME}-metacontroller"))
    assert rights(role) == rights(ours.one("ClusterRole", f"{NAME}-metacontroller"))


def compare(manifests: list[Object], rendering: Rendered) -> None:
    """AssertionError where kustomize and the chart differ."""
    theirs, ours = said(manifests), said(list(rendering.manifests))
    ours = {key: value for key, value in ours.items() if key[0] not in ("CustomResourceDefinition", "Pod")}
    theirs = {key: value for key, value in theirs.items() if key[0] not in ("CustomResourceDefinition", "Namespace")}
    assert set(theirs) == set(ours)
    for key in ours:
        if key[0] == "Deployment":
            assert pod(theirs[key]) == pod(ours[key])
        elif key[0] == "Service":
            assert theirs[key]["spec"]["ports"] == ours[key]["spec"]["ports"]
        else:
            assert theirs[key] == ours[key], key


def test_all_components_combine(build: Build) -> None:
    kinds = {one["kind"] for one in build(*ALL)}
    assert {"NetworkPolicy", "ServiceMonitor", "PrometheusRule", "Certificate"} <= kinds
    assert {"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"} <= kinds
    (settings,) = (one["data"] for one in build(*ALL) if one["kind"] == "ConfigMap" and one["metadata"]["name"] == NAME)
    assert {"ESO_TOKEN_FILE", "ESO_TLS_CERT_FILE", "ESO_TLS_KEY_FILE"} <= settings.keys()


def test_shared_files_are_generated() -> None:
    assert [path.name for path, text in written() if path.read_text() != text] == [], "run `make manifests`"

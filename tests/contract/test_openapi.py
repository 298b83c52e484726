"""schemathesis against the hook as a process, by its own OpenAPI document with the CRD's schema in it: no fault found.

Needs `make tools`; skipped without. TOOLS_REQUIRED=1 turns that into a failure (CI).
"""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.request import request
from app.server import create_app
from app.settings import Settings
from external_service.crd import custom_resource_definition
from external_service.manifest import external_services
from playground.processes import Component, answers, free_ports
from tests.required import cannot_run

ROOT = Path(__file__).resolve().parents[2]
SCHEMATHESIS = ROOT / ".cache" / "tools" / "bin" / "st"
SAMPLES = sorted((ROOT / "metacontroller" / "samples").glob("*.yaml"))
EXAMPLES = 60
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"
)
TOKEN = "0123456789abcdef0123456789abcdef"

Object = dict[str, Any]


@pytest.fixture
def schemathesis() -> Path:
    if not SCHEMATHESIS.exists():
        cannot_run(f"{SCHEMATHESIS.relative_to(ROOT)} is not there: make tools", "TOOLS_REQUIRED")
    return SCHEMATHESIS


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URLs of the hook and of its metrics."""
    door, pages = free_ports(2)
    (tmp_path / "token").write_text(TOKEN)
    settings = {
        "ESO_METRICS_LISTEN_HOST": "127.0.0.1",
        "ESO_METRICS_LISTEN_PORT": str(pages),
        "ESO_TOKEN_FILE": str(tmp_path / "token"),
        "ESO_PROBE_SECRETS": "true",
        "ESO_LOG_LEVEL": "error",
    }
    url, metrics = f"http://127.0.0.1:{door}", f"http://127.0.0.1:{pages}/metrics"
    process = Component(
        "hook",
        [sys.executable, "-m", "app", "--host", "127.0.0.1", "--port", str(door)],
        log=tmp_path / "hook.log",
        ready=lambda: answers(metrics),
        environment=settings | {"PYTHONPATH": str(ROOT)},
    )
    process.start()
    yield url, metrics
    process.stop()
    assert process.log.read_text() == ""  # failures are logged


def document() -> Object:
    """The hook's OpenAPI document, with the CRD's schema of the parent and every sample as an example."""
    api: Object = create_app(Settings()).openapi()
    body = api["paths"]["/sync"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"]["properties"] |= {"parent": parent_schema(), "finalizing": {"const": False}}
    body["schema"]["required"] = ["parent", "children", "finalizing"]
    body["examples"] = {
        path.stem: {"value": json.loads(request(external_services(path.read_text()).documents))} for path in SAMPLES
    }
    return api


def parent_schema() -> Object:
    """The schema of the CRD, with keywords that generate values for its CEL rules."""
    schema: Object = copy.deepcopy(custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    spec = schema["properties"]["spec"]
    spec["required"] = ["port", "ips"]
    spec["properties"]["ips"]["items"] |= {"format": "ipv4"}
    spec["properties"]["hosts"]["items"]["properties"]["host"] |= {"format": "hostname"}
    text = {"type": "string", "minLength": 1, "maxLength": 63}
    mapping = {"type": "object", "additionalProperties": {"type": "string"}}
    metadata = {"name": text, "namespace": text, "uid": text, "generation": {"type": "integer", "minimum": 1}}
    schema["properties"] |= {
        "apiVersion": {"const": "eso.crowdfox.com/v1alpha1"},
        "kind": {"const": "ExternalService"},
        "metadata": {
            "type": "object",
            "required": list(metadata),
            "properties": metadata | {"annotations": mapping, "labels": mapping},
        },
    }
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return schema


@pytest.mark.nightly
def test_requests_generated_from_openapi_cause_no_500(
    schemathesis: Path, hook: tuple[str, str], tmp_path: Path
) -> None:
    url, metrics = hook
    (tmp_path / "openapi.json").write_text(json.dumps(document()))
    options = ("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "-n", str(EXAMPLES), "--seed", "1")
    done = subprocess.run(
        [schemathesis, "run", "openapi.json", "--url", url, "-H", f"Authorization: Bearer {TOKEN}", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = dict(re.findall(r'eso_syncs_total\{outcome="(\w+)"\} (\d+)', httpx.get(metrics, trust_env=False).text))
    assert counted["failed"] == counted["unauthorized"] == "0"
    assert int(counted["ok"]) >= len(SAMPLES)  # it has been deeper than the first refusal
    assert int(counted["refused"]) >= EXAMPLES

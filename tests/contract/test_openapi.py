"""schemathesis against the hook as a process, by the OpenAPI document that it serves: no fault found.

Needs `make tools`; skipped without. TOOLS_REQUIRED=1 turns that into a failure (CI).
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.documentation import samples
from playground.processes import Component, answers, free_ports
from tests.required import cannot_run

ROOT = Path(__file__).resolve().parents[2]
SCHEMATHESIS = ROOT / ".cache" / "tools" / "bin" / "st"
ANSWERED = [one for one in samples() if one.status == 200]
EXAMPLES = 60
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"
)
TOKEN = "0123456789abcdef0123456789abcdef"


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


@pytest.mark.nightly
def test_requests_generated_from_openapi_cause_no_500(
    schemathesis: Path, hook: tuple[str, str], tmp_path: Path
) -> None:
    url, metrics = hook
    options = ("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "-n", str(EXAMPLES), "--seed", "1")
    done = subprocess.run(
        [schemathesis, "run", f"{url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = dict(re.findall(r'eso_syncs_total\{outcome="(\w+)"\} (\d+)', httpx.get(metrics, trust_env=False).text))
    assert counted["failed"] == "0"
    assert int(counted["ok"]) >= len(ANSWERED)  # it has been deeper than the first refusal
    assert int(counted["refused"]) >= EXAMPLES

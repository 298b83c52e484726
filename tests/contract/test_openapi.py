"""schemathesis against the hook as a process, by the OpenAPI document that it serves: no fault found.

Needs `make tools`; skipped without. TOOLS_REQUIRED=1 turns that into a failure (CI).
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.documentation import samples
from tests.e2e.process import Hook
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
def hook(tmp_path: Path) -> Iterator[Hook]:
    (tmp_path / "token").write_text(TOKEN)
    token = {"ESO_TOKEN_FILE": str(tmp_path / "token")}
    started = Hook(tmp_path, token | {"ESO_PROBE_SECRETS": "true", "ESO_LOG_LEVEL": "error"})
    started.component.start()
    yield started
    started.component.stop()
    assert started.log() == ""  # failures are logged


@pytest.mark.nightly
def test_requests_generated_from_openapi_cause_no_500(schemathesis: Path, hook: Hook, tmp_path: Path) -> None:
    options = ("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "-n", str(EXAMPLES), "--seed", "1")
    done = subprocess.run(
        [schemathesis, "run", f"{hook.url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = httpx.get(f"http://127.0.0.1:{hook.pages}/metrics", trust_env=False).text
    counted = dict(re.findall(r'eso_syncs_total\{outcome="(\w+)"\} (\d+)', metrics))
    assert counted["failed"] == "0"
    assert int(counted["ok"]) >= len(ANSWERED)  # it has been deeper than the first refusal
    assert int(counted["refused"]) >= EXAMPLES

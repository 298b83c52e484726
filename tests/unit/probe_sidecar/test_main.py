"""`python -m probe_sidecar` as a process: its start, its errors, its end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from probe_sidecar.kube.kubeconfig import UNREADABLE
from runtime.http_server import STOP_SIGNALS, cannot_listen
from tests.cases import cases

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 20.0

BASE = {name: value for name, value in os.environ.items() if not name.startswith(("ESO_", "KUBERNETES_"))}


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "probe_sidecar", *arguments)
    return subprocess.Popen(command, cwd=ROOT, env=BASE | environment, stderr=subprocess.PIPE, text=True)


def refused(*arguments: str, **environment: str) -> tuple[int, list[str]]:
    process = start(*arguments, **environment)
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors.splitlines()


def test_missing_cluster_configuration_says_what_to_set() -> None:
    assert refused() == (
        2,
        [
            "python -m probe_sidecar: not inside a cluster (KUBERNETES_SERVICE_HOST is not set): "
            "name a kubeconfig with --kubeconfig PATH, or an API server with --server URL"
        ],
    )


NO_TICK = (
    "ESO_TICK_MILLISECONDS: write milliseconds from 0 to 1000 (probes start at multiples of them; 0: anywhere) "
    '(got "fast")'
)


@cases(
    "arguments environment line",
    ("no-config", ("--kubeconfig", "no/such/config"), {}, f"no/such/config: {UNREADABLE}: No such file or directory"),
    ("bad-setting", ("--server", "http://127.0.0.1:1"), {"ESO_TICK_MILLISECONDS": "fast"}, NO_TICK),
)
def test_unusable_configuration_is_named(arguments: tuple[str, ...], environment: dict[str, str], line: str) -> None:
    assert refused(*arguments, **environment) == (2, [f"python -m probe_sidecar: {line}"])


def test_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, lines = refused(
            *("--server", "http://127.0.0.1:1"), ESO_HEALTH_LISTEN_HOST="127.0.0.1", ESO_HEALTH_LISTEN_PORT=port
        )
    assert (status, lines) == (
        1,
        [f"python -m probe_sidecar: {cannot_listen('127.0.0.1', int(port), 'Address already in use')}"],
    )


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_sidecar_waits_for_the_api_server_and_ends_on_sigterm(number: signal.Signals) -> None:
    process = start(*("--server", "http://127.0.0.1:1"), ESO_HEALTH_LISTEN_HOST="127.0.0.1", ESO_HEALTH_LISTEN_PORT="0")
    assert process.stderr is not None
    first = [process.stderr.readline(), process.stderr.readline()]
    started = time.monotonic()
    process.send_signal(number)
    _, rest = process.communicate(timeout=PATIENCE)
    assert "probing; health on port" in first[0]
    assert "externalservices: " in first[1]
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert time.monotonic() - started < PATIENCE


def test_rare_dependencies_are_imported_lazily() -> None:
    code = (
        "import sys; known = set(sys.modules); import probe_sidecar.__main__; "
        "print(*{name.partition('.')[0] for name in sys.modules.keys() - known})"
    )
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"dns", "fastapi", "hpack", "tabulate", "yaml"} & set(done.stdout.split())

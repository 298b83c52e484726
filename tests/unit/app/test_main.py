"""`python -m app` as a process: listening, connections, stopping, and one line for each failure to start."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.http_server import STOP_SIGNALS, cannot_listen
from tests.cases import cases
from tests.e2e.controlplane.pki import Pki
from tests.parents import raw_parent

PAGES = {"ESO_METRICS_LISTEN_HOST": "127.0.0.1", "ESO_METRICS_LISTEN_PORT": "0"}
PARENT = raw_parent(ips=["10.0.0.1"])


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ESO_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **PAGES, **variables}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=30, check=False
    )


@contextlib.contextmanager
def serving(**variables: str) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The process and its two ports, from the two lines that it logs at the start."""
    command = [sys.executable, "-m", "app", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, env=environment(**variables), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = process.stderr.readline() + process.stderr.readline()
            listening = r"listening on https?://127\.0\.0\.1:(\d+)\n.*health and metrics on http://127\.0\.0\.1:(\d+)\n"
            found = re.search(listening, lines)
            assert found, lines
            yield process, int(found[1]), int(found[2])
        finally:
            process.kill()


def health(port: int) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status


def test_tls_and_token_are_required_together(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    certificate, key = pki.issue("hook", common_name="hook", addresses=["127.0.0.1"])
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123")
    files = {"ESO_TLS_CERT_FILE": certificate, "ESO_TLS_KEY_FILE": key, "ESO_TOKEN_FILE": token}
    trusting = ssl.create_default_context(cafile=str(pki.ca_file))
    body = json.dumps({"parent": PARENT})

    def ask(port: int, authorization: str = "") -> int:
        with contextlib.closing(
            http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusting)
        ) as connection:
            connection.request("POST", "/sync", body, {"Authorization": authorization})
            response = connection.getresponse()
            assert {name.lower() for name, _ in response.getheaders()} <= {
                "content-type", "content-length", "www-authenticate",
            }  # fmt: skip
            return response.status

    with serving(**{name: str(path) for name, path in files.items()}) as (_, port, pages):
        assert ask(port, "Bearer 0123456789abcdef0123") == 200
        assert ask(port) == ask(port, "Bearer 0123456789abcdef0124") == 401
        pki.issue("hook", common_name="renewed", addresses=["127.0.0.1"])
        token.write_text("another-token-0123456")
        assert ask(port, "Bearer another-token-0123456") == 200
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: hook\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                assert b"HTTP" not in plain.recv(100)
        assert health(pages) == 200


FOREIGN = cannot_listen("192.0.2.1", 0, "Cannot assign requested address")
HALF = "ESO_TLS_CERT_FILE and ESO_TLS_KEY_FILE: write both, or none of the ESO_TLS_ ones"


@cases(
    "variables status line",
    ("foreign address", {"ESO_LISTEN_HOST": "192.0.2.1"}, 1, FOREIGN),
    ("half of TLS", {"ESO_TLS_CERT_FILE": "a.crt"}, 2, HALF),
    ("no tokens", {"ESO_TOKEN_FILE": "nowhere"}, 2, "nowhere: No such file or directory"),
)
def test_unusable_setting_is_one_line(variables: dict[str, str], status: int, line: str) -> None:
    done = run(**{"ESO_LISTEN_HOST": "127.0.0.1", "ESO_LISTEN_PORT": "0", **variables})
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"python -m app: {line}\n")


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_signal_ends_the_process(number: signal.Signals) -> None:
    with serving() as (process, _port, _pages):
        process.send_signal(number)
        assert process.wait(timeout=10) == (130 if number == signal.SIGINT else 0)


def test_running_response_is_completed_before_exit() -> None:
    body = json.dumps({"parent": PARENT}).encode()
    with serving() as (process, port, pages), socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
        asking.sendall(b"POST /sync HTTP/1.1\r\nHost: hook\r\nContent-Length: %d\r\n\r\n" % len(body))
        asking.sendall(body[:10])
        assert health(pages) == 200  # answered in turn, so the request above has been taken up
        process.send_signal(signal.SIGTERM)
        asking.sendall(body[10:])
        assert asking.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        assert process.wait(timeout=10) == 0


def test_rollout_fails_no_request() -> None:
    """After SIGTERM requests on open and new connections get a response and are asked to reconnect."""
    body, headers = json.dumps({"parent": PARENT}), {"Content-Type": "application/json"}
    with (
        serving(ESO_DRAIN_SECONDS="1") as (process, port, _pages),
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as before,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as after,
    ):
        before.request("POST", "/sync", body, headers)
        response = before.getresponse()
        assert (response.status, response.getheader("connection"), bool(response.read())) == (200, None, True)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for connection in (before, after):
            closing = None
            while closing is None:  # the signal may come in after the first request
                connection.request("POST", "/sync", body, headers)
                response = connection.getresponse()
                closing = response.getheader("connection")
                assert (response.status, bool(response.read())) == (200, True)
            assert closing == "close"
        assert process.wait(timeout=10) == 0
        assert 1 <= time.monotonic() - start < 5
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_second_sigterm_ends_draining() -> None:
    with serving(ESO_DRAIN_SECONDS="60") as (process, _, pages):
        assert health(pages) == 200  # from here on signals are the event loop's
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0

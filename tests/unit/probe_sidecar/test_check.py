"""`external-service check`, as a user runs it, against real sockets on loopback."""

import asyncio
import io
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from external_service.admission import NO_BODY_CONTAINS
from external_service.manifest import NOTHING
from external_service.policy import AddressPolicy, form_refusal
from probe_sidecar import commands
from probe_sidecar.check import NO_PROBE, explanation
from probe_sidecar.hostnames.resolver import responded_with
from probe_sidecar.probes import message
from probe_sidecar.probes.tls import NO_CA_CERTIFICATES
from probe_sidecar.settings import DNS_SERVERS
from runtime.commands import run
from tests.cases import cases
from tests.dns import DnsServer, Record
from tests.parents import raw_parent
from tests.unit.probe_sidecar.probes.servers import Script, Server, says, server_context

ROOT = Path(__file__).resolve().parents[3]


def check(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command in this process: a new interpreter for each test takes half a second of CPU."""
    out, err, stdin = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(text)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = run(commands.check, "external-service check", arguments)
    finally:
        sys.stdin = stdin
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def check_as_a_process(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "cli", "check", *arguments)
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=60, check=False)


def manifest(ips: list[str], probe: dict[str, Any] | None, name: str = "web", **more: Any) -> str:
    return yaml.safe_dump(raw_parent(metadata={"name": name}, ips=ips, readinessProbe=probe, **more))


OK, UNAVAILABLE = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n"


@contextmanager
def web_server(*scripts: Script, context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = Server(*(scripts or (says(OK),)), ip="127.0.0.2", context=context)
    yield server.port
    server.close()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.3", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_disabled_body_contains_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_BODY_CONTAINS", "false")
    done = check("-", text=manifest(["127.0.0.1"], {"httpGet": {"port": 1, "bodyContains": "OK"}}))
    assert (done.returncode, done.stderr) == (2, f"external-service check: shop/web: {NO_BODY_CONTAINS}\n")


def test_check_with_all_successes_is_status_0() -> None:
    with web_server() as port:
        done = check_as_a_process("-", "--output", "json", text=manifest(["127.0.0.2"], {"httpGet": {"port": port}}))
    (row,) = json.loads(done.stdout)
    assert 0 < row.pop("durationSeconds") < 1
    succeeded = {"success": True, "reason": "ProbeSucceeded", "message": "HTTP 200", "passed": 1, "probes": 1}
    assert row == {"externalService": "shop/web", "ip": "127.0.0.2"} | succeeded
    assert (done.returncode, done.stderr) == (0, "")


def test_count_shows_the_last_result() -> None:
    with web_server(says(b"HTTP/1.1 200 OK\r\n\r\n"), says(b"HTTP/1.1 503 No\r\n\r\n")) as port:
        text = manifest(["127.0.0.2"], {"httpGet": {"port": port}, "periodSeconds": 1})
        done = check("-", "--count", "2", "--output", "json", text=text)
    (row,) = json.loads(done.stdout)
    assert (row["success"], row["message"], row["passed"], row["probes"]) == (False, "HTTP 503", 1, 2)
    assert done.returncode == 1


def test_table_explains_results(closed_port: int) -> None:
    done = check("-", text=manifest(["127.0.0.3"], {"tcpSocket": {"port": closed_port}}))
    words = " ".join(done.stdout.split())
    assert f"shop/web: tcp connection on port {closed_port}, timeout 1 s" in words
    assert "127.0.0.3 0/1 0.00" in words
    assert "nothing listens on" in words
    assert done.returncode == 1


def test_object_without_a_probe_is_not_probed() -> None:
    done = check("-", "--output", "json", text=manifest(["10.0.100.10"], None))
    (row,) = json.loads(done.stdout)
    assert (row["ip"], row["success"], row["reason"], row["message"]) == ("10.0.100.10", True, "NoProbe", NO_PROBE)
    assert (row["durationSeconds"], row["passed"], row["probes"]) == (0.0, 0, 0)
    assert done.returncode == 0


@cases(
    "text line",
    ("empty", "", f"-: {NOTHING}"),
    ("bad-ip", manifest(["10.0.0.256"], None), f"-: spec.ips[0]: {form_refusal('10.0.0.256')}"),
)
def test_invalid_input_is_refused_with_a_message(text: str, line: str) -> None:
    done = check("-", text=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [f"external-service check: {line}"]


def test_object_without_addresses_is_a_success() -> None:
    done = check("-", text=manifest([], None))
    assert (done.returncode, "nothing to probe" in done.stdout) == (0, True)


@cases(
    "text beginning",
    ("refused", "connection refused", "the host is there, nothing listens on the port (or a firewall rejects it)"),
    ("black-hole", message.timed_out(2, message.CONNECTING), "no response to the connection"),
    ("slow", message.timed_out(2, message.WAITING), "connected, but slower"),
    ("not-found", "HTTP 404 after 1 redirect", "the path, or the Host header"),
    ("no-tls", message.handshake_failed("wrong version number"), "no TLS is spoken there"),
    ("h2-not-spoken", message.NOT_HTTP2, "no HTTP/2 is spoken there"),
    ("tls-1.1", message.handshake_failed("tlsv1 alert protocol version"), "the server speaks only TLS"),
    ("mtls-1.3", message.tls_failed("tlsv13 alert certificate required"), "the server demands a client"),
    ("mtls-other-ca", message.tls_failed("tlsv1 alert unknown ca"), "the server does not trust the CA"),
    ("mtls-1.2", message.handshake_failed("sslv3 alert handshake failure"), "the server demands a client"),
    ("expired", message.certificate_refused("certificate has expired"), "renew the server's"),
    ("says-it-all", "HTTP 503", ""),
)
def test_explanation_of_a_failure(text: str, beginning: str) -> None:
    assert explanation(text).startswith(beginning)
    assert bool(explanation(text)) is bool(beginning)


VERIFYING: dict[str, Any] = {"httpGet": {"port": 443, "scheme": "HTTPS", "tls": {"caConfigMap": {"name": "corp-ca"}}}}


def test_verified_probe_needs_a_cluster_or_a_ca_file(tmp_path: Path) -> None:
    done = check("-", "--kubeconfig", str(tmp_path / "none"), text=manifest(["127.0.0.2"], VERIFYING))
    assert (done.returncode, done.stdout) == (2, "")
    assert "check: shop/web needs the CA in ConfigMap shop/corp-ca: " in done.stderr
    assert done.stderr.endswith("; or give the CA with --ca-file PATH\n")


@cases(
    "content problem",
    ("missing", None, "No such file or directory"),
    ("no-pem", b"nothing", NO_CA_CERTIFICATES),
    ("no-text", b"\xff", NO_CA_CERTIFICATES),
)
def test_invalid_ca_file_is_refused(content: bytes | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    done = check("-", "--ca-file", str(file), text=manifest(["127.0.0.2"], VERIFYING))
    assert (done.returncode, done.stderr) == (2, f"external-service check: {file}: {problem}\n")


def test_ca_file_verifies_certificates(tmp_path: Path) -> None:
    context, file = server_context(tmp_path, "a.example"), tmp_path / "a.example.pem"
    with web_server(context=context) as port:
        probe = {"httpGet": {**VERIFYING["httpGet"], "port": port}}
        wrong = check("-", "--ca-file", str(file), text=manifest(["127.0.0.2"], probe))
        probe["httpGet"]["host"] = "a.example"
        right = check("-", "--ca-file", str(file), text=manifest(["127.0.0.2"], probe))
        told = check("-", "--ca-file", str(file), "--output", "json", text=manifest(["127.0.0.2"], probe))
    expires = datetime.fromisoformat(json.loads(told.stdout)[0]["certificateExpires"])
    assert timedelta(hours=23) < expires - datetime.now(UTC) <= timedelta(days=1)
    assert expires.strftime("%Y-%m-%dT%H:%M:%SZ") in right.stdout
    assert (wrong.returncode, right.returncode) == (1, 0), right.stdout
    assert "made for another name" in " ".join(wrong.stdout.split())


async def test_hostnames_are_resolved_and_each_address_probed() -> None:
    half = Record(("127.0.0.4",), trouble={"AAAA": "SERVFAIL"})
    dns = DnsServer({"db.example": Record(("127.0.0.2", "169.254.0.9")), "half.example": half})
    await dns.start()
    with web_server() as port:
        names = ["db.example", "half.example", "gone.example"]
        text = manifest(["127.0.0.3"], {"tcpSocket": {"port": port}}, hostnames=names)
        servers = f"127.0.0.1:{dns.port}"
        done = await asyncio.to_thread(check, "-", "--output", "json", "--dns-servers", servers, text=text)
    await dns.stop()
    rows = [(row["ip"], row.get("hostname"), row["reason"], row["message"]) for row in json.loads(done.stdout)]
    assert rows == [
        ("127.0.0.3", None, "ProbeFailed", "connection refused"),
        ("127.0.0.2", "db.example", "ProbeSucceeded", "connected"),
        ("169.254.0.9", "db.example", "Denied", AddressPolicy().refusal("169.254.0.9")),
        ("127.0.0.4", "half.example", "ProbeFailed", "connection refused"),
        (None, "half.example", "Unresolved", "AAAA: " + responded_with("SERVFAIL")),
        (None, "gone.example", "Unresolved", "no such name"),
    ]
    assert done.returncode == 1


def test_invalid_dns_servers_are_refused() -> None:
    done = check("-", "--dns-servers", "dns.example.com", text="")
    assert done.returncode == 2
    assert f"write {DNS_SERVERS} (got dns.example.com)" in done.stderr

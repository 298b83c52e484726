"""gRPC over TLS against real sockets, with another implementation of HTTP/2 on the other side."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from external_service.core import Probe
from playground.backends import SERVING, Http2Server
from probe_sidecar.probes import tls
from probe_sidecar.probes.message import NO_ALPN, certificate_refused
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.prepare import prepare
from tests.cases import cases
from tests.unit.probe_sidecar.probes.conftest import Judge, Serve
from tests.unit.probe_sidecar.probes.servers import server_context
from tests.unit.probe_sidecar.probes.test_tls import bundle

OK = Outcome(Result.SUCCESS, "SERVING")


def failure(message: str) -> Outcome:
    return Outcome(Result.FAILURE, message)


def health(connection: socket.socket) -> bytes:
    server = Http2Server()
    while data := connection.recv(65_536):
        for stream in server.feed(data):
            server.answer_health(stream, SERVING)
        connection.sendall(server.to_send())
    return b""


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    made = server_context(tmp_path, "a.example")
    made.set_alpn_protocols(["h2"])
    return made


async def judged(judge: Judge, port: int, verified: ssl.SSLContext | None = None, **options: Any) -> Outcome:
    probe = Probe.model_validate({"grpc": {"port": port, "tls": options}, "timeoutSeconds": 2})
    return await judge(prepare(probe, "127.0.0.1", context=verified))


async def test_certificate_is_not_verified_without_a_ca(judge: Judge, serve: Serve, context: ssl.SSLContext) -> None:
    assert await judged(judge, serve(health, context=context).port) == OK


@cases(
    "name outcome",
    ("name-of-the-certificate", "a.example", OK),
    (
        "another-name",
        "b.example",
        failure(certificate_refused("hostname mismatch, certificate is not valid for 'b.example'")),
    ),
    (
        "no-name-is-the-address",
        "",
        failure(certificate_refused("IP address mismatch, certificate is not valid for '127.0.0.1'")),
    ),
)
async def test_certificate_must_be_for_the_name(
    judge: Judge, serve: Serve, context: ssl.SSLContext, tmp_path: Path, name: str, outcome: Outcome
) -> None:
    verified = tls.verified(bundle(tmp_path, "a.example"))
    options = {"caConfigMap": {"name": "corp-ca"}, "serverName": name}
    assert await judged(judge, serve(health, context=context).port, verified, **options) == outcome


@pytest.mark.parametrize("protocols", [[], ["http/1.1"]])
async def test_server_must_negotiate_http2(judge: Judge, serve: Serve, tmp_path: Path, protocols: list[str]) -> None:
    context = server_context(tmp_path, "a.example")
    if protocols:
        context.set_alpn_protocols(protocols)
    port = serve(health, context=context).port
    assert await judged(judge, port) == failure(NO_ALPN)

"""HEAD, and HTTP/2 without TLS, against real sockets."""

from typing import Any

import pytest

from external_service.core import Probe
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.probes.prepare import prepare
from tests.cases import cases
from tests.unit.probe_sidecar.probes.conftest import Judge, Serve
from tests.unit.probe_sidecar.probes.servers import over_http2, says


def outcome(result: Result, message: str) -> Outcome:
    return Outcome(result, message)


async def judged(judge: Judge, port: int, **action: Any) -> Outcome:
    probe = Probe.model_validate({"httpGet": {"port": port, **action}, "timeoutSeconds": 2})
    return await judge(prepare(probe, "127.0.0.1"))


@cases(
    "head expected",
    ("length", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", (Result.SUCCESS, "HTTP 200")),
    ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (Result.SUCCESS, "HTTP 200")),
    ("neither", b"HTTP/1.1 200 OK\r\n\r\n", (Result.SUCCESS, "HTTP 200")),
    ("not-allowed", b"HTTP/1.1 405 X\r\nContent-Length: 9\r\n\r\n", (Result.FAILURE, "HTTP 405")),
)
async def test_head_response_ends_with_its_header(
    judge: Judge, serve: Serve, head: bytes, expected: tuple[Result, str]
) -> None:
    server = serve(says(head, stay=True))
    assert await judged(judge, server.port, method="HEAD") == outcome(*expected)


async def test_redirect_is_followed_with_head(judge: Judge, serve: Serve) -> None:
    moved = says(b"HTTP/1.1 302 X\r\nLocation: /x\r\nContent-Length: 5\r\n\r\n", stay=True)
    server = serve(moved, says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", stay=True))
    assert await judged(judge, server.port, method="HEAD") == outcome(Result.SUCCESS, "HTTP 200 after 1 redirect")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("status", "expected"), [(204, (Result.SUCCESS, "HTTP 204")), (503, (Result.FAILURE, "HTTP 503"))]
)
async def test_http2_with_prior_knowledge(
    judge: Judge, serve: Serve, method: str, status: int, expected: tuple[Result, str]
) -> None:
    server = serve(over_http2(lambda http2, stream: http2.answer_http(stream, status)))
    assert await judged(judge, server.port, method=method, protocol="HTTP2") == outcome(*expected)

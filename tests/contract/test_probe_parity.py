"""Our probes and the kubelet's, on one table of scripted servers: same result, or a deviation with a name.

The kubelet's column is what kubernetes 1.36.3's own pkg/probe answers. With KUBELET_ORACLE naming the binary built from
bench/peers/kubelet it is asked again here:

    cd bench/peers/kubelet && V=k8s.io/component-base/version
    go build -ldflags "-X $V.gitMajor=1 -X $V.gitMinor=36" -o kubelet . && KUBELET_ORACLE=$PWD/kubelet pytest ...
"""

import asyncio
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from external_service.core import Probe
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.exchange import Outcome
from probe_sidecar.probes.prepare import prepare
from tests.unit.probe_sidecar.probes.servers import (
    Script,
    Server,
    half_closes,
    read_head,
    resets,
    says,
    server_context,
    silent,
)
from tests.until import until

ORACLE = os.environ.get("KUBELET_ORACLE")
HANGS = "hangs"
needs_oracle = pytest.mark.skipif(not ORACLE, reason="KUBELET_ORACLE does not name the kubelet peer's binary")

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\nok"


def redirect(location: str, status: int = 302) -> Script:
    return says(f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())


def tls(folder: Path) -> ssl.SSLContext:
    return server_context(folder, "a.example", expired=True)


def tls_requiring_sni(folder: Path) -> ssl.SSLContext:
    context = tls(folder)
    context.sni_callback = lambda sock, name, _: (
        None if name == "a.example" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    )
    return context


def tls_1_1(folder: Path) -> ssl.SSLContext:
    context = tls(folder)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def speaks_first(data: bytes) -> Script:
    def script(connection: socket.socket) -> bytes:
        connection.sendall(data)
        return connection.recv(65_536)

    return script


@dataclass(frozen=True)
class Row:
    """A server, a probe of it, and both results; `ours` only where it deviates.

    The kubelet's "error" is its prober error: no result at all. Our messages: tests/unit/probe_sidecar/probes.
    """

    scripts: list[Script]
    kubelet: str
    ours: str = ""
    deviation: str = ""
    handler: str = "httpGet"
    action: dict[str, Any] | None = None
    context: Callable[[Path], ssl.SSLContext] | None = None
    closed: bool = False


def stalled(*pieces: bytes) -> list[Script]:
    return [says(*pieces, stay=True)]


HTTPS = {"scheme": "HTTPS"}
HOST = {"httpHeaders": [{"name": "Host", "value": "a.example"}]}
SUCCESS, FAILURE, WARNING, ERROR = "success", "failure", "warning", "error"
LONG = HEAD + b"Content-Length: 99999\r\n\r\n" + b"x" * 10_240

ROWS = {
    "line-8-200": Row([says(OK)], SUCCESS),
    "line-8-299": Row([says(b"HTTP/1.1 299 X\r\n\r\n")], SUCCESS),
    "line-8-101": Row([says(b"HTTP/1.1 101 X\r\n\r\n")], FAILURE),
    "line-8-999": Row([says(b"HTTP/1.1 999 X\r\n\r\n")], FAILURE),
    "line-8-1xx-skipped": Row([says(b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\n\r\n" + OK)], SUCCESS),
    "line-8-http-1.0": Row([says(b"HTTP/1.0 200 OK\r\n\r\nok")], SUCCESS),
    "line-8-bare-line-feeds": Row([says(b"HTTP/1.1 200 OK\nA: b\n\nok")], SUCCESS),
    "line-9-relative": Row([redirect("/x"), says(OK)], SUCCESS),
    "line-9-307": Row([redirect("/x", 307), says(OK)], SUCCESS),
    "line-9-another-host": Row([redirect("http://localhost/")], WARNING),
    "line-9-own-virtual-host": Row([redirect("https://a.example/")], WARNING, action=HOST),
    "line-10-304": Row([redirect("/x", 304)], WARNING),
    "line-10-300": Row([redirect("/x", 300)], WARNING),
    "line-10-unparsable-location": Row([redirect("http://127.0.0.1:x/")], FAILURE),
    "line-10-unknown-scheme": Row([redirect("ftp://127.0.0.1/")], FAILURE),
    "line-10-no-host": Row([redirect("mailto:x")], WARNING),
    "line-10-dead-port": Row([redirect("http://127.0.0.1:1/")], FAILURE),
    "line-10-nine-pass": Row([redirect("/")] * 9 + [says(OK)], SUCCESS),
    "line-10-the-tenth-fails": Row([redirect("/")], FAILURE),
    "line-12-endless-body": Row(stalled(HEAD + b"\r\n" + b"x" * 10_240), SUCCESS),
    "line-12-long-body": Row(stalled(LONG), SUCCESS),
    "line-13-refused": Row([], FAILURE, closed=True),
    "line-13-reset": Row([resets], FAILURE),
    "line-13-no-answer": Row([silent], FAILURE),
    "line-13-stalled-headers": Row(stalled(HEAD), FAILURE),
    "line-13-empty-reply": Row([says(b"")], FAILURE),
    "line-13-non-http": Row([says(b"SSH-2.0-x\r\n")], FAILURE),
    "line-13-tls-to-plain": Row([speaks_first(b"HTTP/1.1 400 X\r\n\r\n")], FAILURE, action=HTTPS),
    "line-14-stalled-body": Row(stalled(HEAD + b"Content-Length: 9\r\n\r\nshort"), ERROR, FAILURE, "D1"),
    "line-14-cut-503": Row([says(b"HTTP/1.1 503 X\r\nContent-Length: 9\r\n\r\nshort")], ERROR, FAILURE, "D1"),
    "half-closed": Row([half_closes], SUCCESS),
    "long-headers": Row([says(HEAD + b"A: " + b"x" * 60_000 + b"\r\n\r\n")], SUCCESS),
    "huge-headers": Row([says(HEAD + b"A: " + b"x" * 70_000 + b"\r\n\r\n")], SUCCESS, FAILURE, "D9"),
    "line-6-expired-self-signed": Row([says(OK)], SUCCESS, action=HTTPS, context=tls),
    "line-6-tls-1.1": Row([says(OK)], FAILURE, action=HTTPS, context=tls_1_1),
    "line-6-sni-required": Row([says(OK)], FAILURE, SUCCESS, "D3", action=HTTPS | HOST, context=tls_requiring_sni),
    "line-6-stalled-handshake": Row([silent], FAILURE, action=HTTPS),
    "line-16-tcp": Row([silent], SUCCESS, handler="tcpSocket"),
    "line-16-tcp-refused": Row([], FAILURE, handler="tcpSocket", closed=True),
    "line-19-grpc-refused": Row([], FAILURE, handler="grpc", closed=True),
    "line-19-grpc-to-http-1": Row([speaks_first(b"HTTP/1.1 400 X\r\n\r\n")], FAILURE, handler="grpc"),
    "line-18-grpc-no-response": Row([lambda c: c.recv(9) + c.recv(9_999)], FAILURE, handler="grpc"),
}


@pytest.fixture(params=[pytest.param(row, id=name) for name, row in ROWS.items()])
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
def probe(row: Row, tmp_path: Path) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        context = row.context(tmp_path) if row.context else None
        server = stack.enter_context(closing(Server(*row.scripts, context=context)))
        if row.closed:
            server.close()
        yield {row.handler: {"port": server.port, **(row.action or {})}, "timeoutSeconds": 1}


async def our_result(probe: dict[str, Any]) -> str:
    loop = asyncio.get_running_loop()
    engine, future = ProbeEngine(loop), loop.create_future()
    engine.start(prepare(Probe.model_validate(probe), "127.0.0.1"), lambda outcome, seconds: future.set_result(outcome))
    outcome: Outcome = await asyncio.wait_for(future, 20)
    engine.close()
    return outcome.result.value


async def kubelet_result(probe: dict[str, Any]) -> str:
    """HANGS if the kubelet's probe does not end with its timeout."""
    assert ORACLE is not None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(ORACLE, "oracle", stdin=pipe, stdout=pipe)
    question = json.dumps({"ip": "127.0.0.1", "probe": probe}).encode()
    try:
        output, _ = await asyncio.wait_for(process.communicate(question), 5)
    except TimeoutError:
        return HANGS
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    result: str = json.loads(output)["result"]
    return result


LEGACY_TLS = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")


@LEGACY_TLS
async def test_our_result_is_as_recorded(row: Row, probe: dict[str, Any]) -> None:
    assert await our_result(probe) == (row.ours or row.kubelet)


@LEGACY_TLS
@pytest.mark.nightly
@needs_oracle
async def test_kubelet_result_is_as_recorded(row: Row, probe: dict[str, Any]) -> None:
    assert await kubelet_result(probe) == row.kubelet


def test_deviations_and_their_names_match(row: Row) -> None:
    assert bool(row.deviation) == bool(row.ours) == (row.ours not in ("", row.kubelet))


def headers(*fields: tuple[str, str]) -> dict[str, Any]:
    return {"httpHeaders": [{"name": name, "value": value} for name, value in fields]}


# PORT represents the server's.
AGENT, ACCEPT, CLOSE = "User-Agent: kube-probe/1.36", "Accept: */*", "Connection: close"
LOCAL = "Host: 127.0.0.1:PORT"
OWN = headers(("User-Agent", "me"), ("Accept", "a"), ("Content-Length", "3"), ("Transfer-Encoding", "chunked"))
REPEATED = headers(("x-a", "1"), ("Host", "h.example"), ("X-A", " 2 "), ("Host", "i.example"), ("B", ""))
UPGRADE = headers(("Connection", "Upgrade"), ("Upgrade", "websocket"))
BASIC = "Authorization: Basic bWU6cHc="

REQUESTS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "line-4-default": ({}, "/", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-2-space-in-query": ({"path": "/a?q=b c"}, "/a?q=b c", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-2-fragment": ({"path": "/a b#c"}, "/a%20b", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-2-absolute": ({"path": "http://x/abs?q=1"}, "/abs?q=1", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-2-two-slashes": ({"path": "//x/y"}, "/y", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-2-unparsable": ({"path": "/%zz"}, "/%25zz", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-2-no-slash": ({"path": "a"}, "/a", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-2-beyond-ascii": ({"path": "/ä"}, "/%C3%A4", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-3": (REPEATED, "/", ["Host: h.example", AGENT, ACCEPT, "B: ", "X-A: 1", "X-A: 2", CLOSE]),
    "line-3-empty-host": (headers(("Host", "")), "/", [LOCAL, AGENT, ACCEPT, CLOSE]),
    "line-3-invalid-host": (headers(("Host", "a b")), "/", ["Host: ", AGENT, ACCEPT, CLOSE]),
    "line-3-idna": (headers(("Host", "bücher.io")), "/", ["Host: xn--bcher-kva.io", AGENT, ACCEPT, CLOSE]),
    "line-4-absent": (headers(("User-Agent", ""), ("Accept", "")), "/", [LOCAL, CLOSE]),
    "line-4-own": (OWN, "/", [LOCAL, "User-Agent: me", "Accept: a", CLOSE]),
    "line-4-connection": (
        headers(("Connection", "keep-alive")),
        "/",
        [LOCAL, AGENT, ACCEPT, "Connection: keep-alive", CLOSE],
    ),
    "line-4-upgrade": (UPGRADE, "/", [LOCAL, AGENT, ACCEPT, "Connection: Upgrade", "Upgrade: websocket"]),
    "user-in-the-path": ({"path": "http://me:pw@x/"}, "/", [LOCAL, AGENT, ACCEPT, BASIC, CLOSE]),
}
"""The action, the path that is sent, and the header lines."""


def received(server: Server, before: Sequence[bytes] = ()) -> list[str]:
    """The lines of the one request that comes after those `before`."""
    *earlier, request = server.requests
    assert earlier == [*before]
    return request.decode("latin-1").replace(str(server.port), "PORT").removesuffix("\r\n\r\n").split("\r\n")


ASKERS = pytest.mark.parametrize(
    "asker", [our_result, pytest.param(kubelet_result, marks=[pytest.mark.nightly, needs_oracle])]
)


@pytest.mark.parametrize("name", REQUESTS)
@ASKERS
async def test_request_equals_the_kubelets(asker: Callable[[dict[str, Any]], Any], name: str) -> None:
    action, path, lines = REQUESTS[name]
    with closing(Server(says(OK))) as server:
        await asker({"httpGet": {"port": server.port, **action}})
        await until(lambda: bool(server.requests), "a request", seconds=20)
        assert received(server) == [f"GET {path} HTTP/1.1", *lines]


@ASKERS
@pytest.mark.parametrize(
    ("location", "host"),
    [
        pytest.param("/next", "shop.example", id="line-11-relative-keeps-the-host"),
        pytest.param("//127.0.0.1:PORT/next", "shop.example", id="line-11-no-scheme-keeps-the-host"),
        pytest.param("http://127.0.0.1:PORT/next", "127.0.0.1:PORT", id="line-11-absolute-does-not"),
    ],
)
async def test_redirected_request_equals_the_kubelets(
    asker: Callable[[dict[str, Any]], Any], location: str, host: str
) -> None:
    def first(connection: socket.socket) -> bytes:
        read_head(connection)
        at = location.replace("PORT", str(server.port))
        connection.sendall(f"HTTP/1.1 302 X\r\nLocation: {at}\r\nContent-Length: 0\r\n\r\n".encode())
        return b""

    with closing(Server(first, says(OK))) as server:
        fields = headers(("Host", "shop.example"), ("Authorization", "secret"))
        await asker({"httpGet": {"port": server.port, "path": "/a?b", **fields}})
        await until(lambda: len(server.requests) == 2, "two requests", seconds=20)
        assert received(server, before=[b""]) == [
            "GET /next HTTP/1.1",
            f"Host: {host}",
            AGENT,
            ACCEPT,
            "Authorization: secret",
            "Referer: http://127.0.0.1:PORT/a?b",
            CLOSE,
        ]

"""Hostile clients of the hook, over real sockets against the real process: one behaviour is one row.

After each of them the process answers a health check and a sync, has logged no traceback, and has never taken more than
128 MiB above its idle state. Response times are measured by `python -m bench.requests`.
"""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e import process
from tests.e2e.controlplane.pki import Pki
from tests.hostile.client_bodies import PARENT, plain, sync, worst

PATIENCE = 20.0
MOST_MEMORY = 128 * 1024 * 1024
CLOSED = 0
"""For a connection that ends without a response."""


class Hook(process.Hook):
    """A process of the hook. `tls` is for its clients."""

    def __init__(self, directory: Path, tls: ssl.SSLContext | None = None, **settings: str) -> None:
        super().__init__(directory, settings)
        self.tls = tls
        self.component.start()
        self.idle = self.memory("VmRSS")

    def memory(self, name: str) -> int:
        (kilobytes,) = re.findall(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.component.pid}/status").read_text())
        return int(kilobytes) * 1024


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    started = Hook(tmp_path_factory.mktemp("hook"))
    yield started
    started.component.kill()


@pytest.fixture(scope="module")
def tls_hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    directory = tmp_path_factory.mktemp("tls-hook")
    pki = Pki(directory / "pki")
    certificate, key = pki.issue("server", common_name="hook", addresses=["127.0.0.1"])
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    started = Hook(directory, context, ESO_TLS_CERT_FILE=str(certificate), ESO_TLS_KEY_FILE=str(key))
    yield started
    started.component.kill()


@asynccontextmanager
async def connection(
    port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def statuses(hook: Hook, pieces: tuple[bytes, ...], eof: bool) -> list[int]:
    """The statuses of all final responses until the server has no more to say; CLOSED if there is none."""
    async with connection(hook.port) as (reader, writer), asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if eof:
                writer.write_eof()
        got = b""
        with suppress(ConnectionError, TimeoutError):
            while part := await asyncio.wait_for(reader.read(1 << 20), PATIENCE if not got else 0.05):
                got += part
    found = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)]
    return [status for status in found if status >= 200] or [CLOSED]


async def healthy(hook: Hook) -> None:
    """Asserts what holds after, and under, each behaviour."""
    for port, tls in ((hook.port, hook.tls), (hook.pages, None)):
        async with connection(port, tls=tls) as (reader, writer), asyncio.timeout(PATIENCE):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: hook\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    async with connection(hook.port, tls=hook.tls) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(post(plain()))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: (\d+)", head)[0])
        kinds = [child["kind"] for child in json.loads(await reader.readexactly(length))["children"]]
    assert kinds == ["Service", "Endpoints", "EndpointSlice"]
    assert hook.running
    assert not re.search("Traceback|Exception", hook.log())
    assert hook.memory("VmHWM") - hook.idle < MOST_MEMORY


LINE = b"POST /sync HTTP/1.1\r\nHost: hook\r\n"


def post(body: bytes, headers: bytes = b"") -> bytes:
    return LINE + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


CHUNKED = LINE + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = plain()


class Row(NamedTuple):
    """Bytes to send, the statuses that are a correct response, and whether the client then ends its side."""

    pieces: tuple[bytes, ...]
    right: set[int]
    eof: bool = False


def body(value: Any) -> Row:
    return Row((post(value if isinstance(value, bytes) else json.dumps(value).encode()),), {400, 422})


def applied(value: str) -> Row:
    """An annotation of the Service that Metacontroller keeps and that the owner of the namespace can edit."""
    annotations = {"metacontroller.k8s.io/last-applied-configuration": value}
    ports = [{"port": 80, "protocol": "TCP"}]
    child = {"metadata": {"annotations": annotations}, "spec": {"ports": ports, "externalName": "x"}}
    return Row((post(plain(children={"Service.v1": {"shop/api": child}})),), {200})


ROWS = {
    # heads
    "a head without an end": Row((LINE, *[b"X-A: " + b"a" * 1000 + b"\r\n"] * 100), {431, CLOSED}),
    "a header line without an end": Row((LINE + b"X-A: ", *[b"a" * 1000] * 100), {431, CLOSED}),
    "a URL without an end": Row((b"GET /", *[b"a" * 1000] * 100), {431, CLOSED}),
    "a method without an end": Row((b"A" * 100_000,), {400, 431, CLOSED}),
    "10,000 short headers": Row((LINE + b"a:\r\n" * 10_000 + b"\r\n",), {431, CLOSED}),
    "a space before the colon": Row((LINE + b"Content-Length : 2\r\n\r\n{}",), {400}),
    "HTTP/1.0": Row((b"GET /healthz HTTP/1.0\r\n\r\n",), {200}),
    "HTTP/2": Row((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",), {400}),
    "TLS on a plain port": Row((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,), {400}),
    "binary zeros": Row((b"\0" * 100_000,), {400, CLOSED}),
    "CONNECT": Row((b"CONNECT example.com:443 HTTP/1.1\r\nHost: hook\r\n\r\n" + b"\0" * 1000,), {400, 404, 405}),
    "a query of 20 KB": Row((b"GET /healthz?" + b"a=b&" * 5000 + b" HTTP/1.1\r\nHost: hook\r\n\r\n",), {200}),
    # lengths
    "a negative length": Row((LINE + b"Content-Length: -1\r\n\r\n",), {400}),
    "a length with 5,000 zeros": Row((LINE + b"Content-Length: " + b"0" * 5000 + b"2\r\n\r\n{}",), {422}),
    "a length of 2^63": Row((LINE + b"Content-Length: 9223372036854775807\r\n\r\n{}",), {413}),
    "two lengths": Row((LINE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",), {400}),
    "a length and chunks": Row((LINE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",), {400}),
    "a length that is too long": Row((LINE + b"Content-Length: 100\r\n\r\n{}",), {CLOSED}, eof=True),
    "a body without a length": Row((LINE + b"\r\n" + GOOD,), {400}),
    "a compressed body": Row((post(b"\x1f\x8b\x08\x00" + b"\0" * 100, b"Content-Encoding: gzip\r\n"),), {400}),
    # chunks
    "a chunk size that overflows": Row((CHUNKED + b"fffffffffffffffff\r\n",), {400}),
    "a chunk size with 40,000 zeros": Row((CHUNKED, *[b"0" * 1000] * 40), {400, 431, CLOSED}),
    "a chunk extension without an end": Row((CHUNKED + b"2;", *[b"a=b;" * 1000] * 100), {431, CLOSED}),
    "chunks of one byte": Row((CHUNKED, *[b"1\r\n \r\n" * 1000] * 200), {431, CLOSED}),
    "trailers without an end": Row((CHUNKED + b"2\r\n{}\r\n0\r\n", *[b"X-A: b\r\n" * 1000] * 200), {431, CLOSED}),
    "a trailer without an end": Row((CHUNKED + b"2\r\n{}\r\n0\r\nX-A: ", *[b"a" * 10_000] * 200), {431, CLOSED}),
    "a body without its last chunk": Row((CHUNKED + b"2\r\n{}\r\n",), {CLOSED}, eof=True),
    "10 MB in chunks": Row((CHUNKED, *[b"186a0\r\n" + b" " * 100_000 + b"\r\n"] * 100, b"0\r\n\r\n"), {413}),
    # other protocols, pipelines, half connections
    "an upgrade to websocket": Row((post(GOOD, b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),), {200}),
    "an upgrade to h2c": Row((post(GOOD, b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),), {200}),
    "a large upgrade": Row((post(b" " * 8_000_000, b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n"),), {413}),
    "1,000 requests at once": Row((b"GET /healthz HTTP/1.1\r\nHost: hook\r\n\r\n" * 1000,), {200, 400, 431, CLOSED}),
    "1,000 syncs at once": Row((post(GOOD) * 1000,), {200, 400, 431, CLOSED}),
    "expects 100-continue and sends nothing": Row(
        (LINE + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",), {CLOSED}, eof=True
    ),
    "closes and sends 8 MB": Row((post(b" " * 8_000_000, b"Connection: close\r\n"),), {413}),
    "ends its side at once": Row((), {CLOSED}, eof=True),
    "ends its side after the request": Row((post(GOOD),), {200, CLOSED}, eof=True),
    # what is no sync request
    "an empty body": Row((post(b""),), {400}),
    "no JSON": body(b"port: 80"),
    "NaN": body(b'{"parent": NaN}'),
    "1e999": body(b'{"parent": {"spec": {"port": 1e999}}}'),
    "a number of 5,000 digits": body(b'{"parent": {"spec": {"port": ' + b"1" * 5000 + b"}}}"),
    "a lone surrogate": body(b'{"parent": {"kind": "\\ud800"}}'),
    "nested 1,100 levels": body(b"[" * 1100 + b"]" * 1100),
    "nested 1,000 levels": body(b'{"parent":' * 1000 + b"1" + b"}" * 1000),
    "a status nested 500 levels": body(sync(status={"unknown": 0}).replace(b"0}", b"[" * 500 + b"]" * 500 + b"}")),
    "the same key twice": Row((post(b'{"parent": 1, "parent": {}}'),), {422}),
    "a name with line breaks": body({"parent": {**PARENT, "metadata": {"name": "a\nERROR b"}}}),
    "a port of 2^70": body({"parent": {**PARENT, "spec": {"port": 2**70}}}),
    # children that the API server would not have
    "a slice with a number of 5,000 digits": Row(
        (
            post(
                plain(children={"EndpointSlice.discovery.k8s.io/v1": {f"shop/api-ipv4-{'9' * 5000}": {"metadata": {}}}})
            ),
        ),
        {200},
    ),
    "an edited annotation nested deeply": applied("[" * 50_000),
    "an edited annotation with other shapes": applied('{"metadata":{"labels":[]},"spec":{"ports":[{}]}}'),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
async def test_hostile_request_is_refused_and_affects_no_other(hook: Hook, row: Row) -> None:
    assert set(await statuses(hook, row.pieces, row.eof)) <= row.right
    await healthy(hook)


@pytest.mark.parametrize("made", [pytest.param(made, id=name) for name, made in worst().items()])
async def test_costly_body_stays_within_memory_and_time_bounds(hook: Hook, made: Callable[[], bytes]) -> None:
    assert set(await statuses(hook, (post(made()),), False)) <= {200, 400, 413, 422}
    await healthy(hook)


class Crowd(NamedTuple):
    """Many connections, each of which sends `sent` and reads nothing; from how many addresses they come."""

    clients: int
    sent: bytes
    peers: int = 1


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
CROWDS = {
    "1,000 idle connections": Crowd(1000, b""),
    "1,000 idle connections of 40 clients": Crowd(1000, b"", peers=40),
    "1,000 connections idle after a request": Crowd(1000, b"GET /healthz HTTP/1.1\r\nHost: hook\r\n\r\n", peers=40),
    "600 heads without an end": Crowd(600, LINE, peers=40),
    "600 bodies without an end": Crowd(600, LINE + b"Content-Length: 3000000\r\n\r\n{", peers=40),
    "100 bodies of 1 MB without an end": Crowd(100, LINE + b"Content-Length: 3000000\r\n\r\n" + b" " * 1_000_000),
    "600 trailers without an end": Crowd(600, CHUNKED + b"2\r\n{}\r\n0\r\nX: ", peers=40),
    "600 unread responses": Crowd(600, post(GOOD), peers=40),
    "600 unread pipelines": Crowd(600, post(GOOD) * 8, peers=40),
}


@asynccontextmanager
async def crowded(port: int, crowd: Crowd) -> AsyncIterator[None]:
    """While they are there. A connection that makes room for another is not missed."""
    writers = []
    try:
        for number in range(crowd.clients):
            source = f"127.0.1.{1 + number % crowd.peers}"
            async with asyncio.timeout(PATIENCE):
                _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0), limit=1)
            writers.append(writer)
            writer.write(crowd.sent)
        yield
    finally:
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize("crowd", [pytest.param(crowd, id=name) for name, crowd in CROWDS.items()])
async def test_many_connections_do_not_block_other_clients(hook: Hook, crowd: Crowd) -> None:
    async with crowded(hook.port, crowd):
        await healthy(hook)
    async with crowded(hook.pages, crowd):
        await healthy(hook)


@pytest.mark.parametrize(
    "crowd",
    [
        pytest.param(Crowd(1100, b"", peers=40), id="1,100 handshakes without a byte"),
        pytest.param(Crowd(1100, HELLO, peers=40), id="1,100 halves of a handshake"),
        pytest.param(Crowd(300, b"\0" * 1000), id="300 that speak no TLS"),
    ],
)
async def test_pending_handshakes_do_not_block_other_clients(tls_hook: Hook, crowd: Crowd) -> None:
    async with crowded(tls_hook.port, crowd):
        await healthy(tls_hook)

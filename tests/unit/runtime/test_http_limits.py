"""Clients that are slow, endless or many, over real sockets. The limits are small here, and the deadlines long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest

from runtime.http_server import LAST, Binding, HttpServer, Limits, listen
from tests.cases import cases

PATIENCE = 10.0
SOON = 0.2
LATE = 600.0
MOST_HEAD = Limits().head_bytes
HEAD = b"POST /sync HTTP/1.1\r\nHost: hook\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message.get("more_body", False)
    body = b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def hasty(scope: Any, receive: Any, send: Any) -> None:
    """Responds before it has read anything."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def endless(scope: Any, receive: Any, send: Any) -> None:
    """Sends a response larger than any buffer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1_000):
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})


@asynccontextmanager
async def serving(binding: Binding, limits: Limits | None = None) -> AsyncIterator[int]:
    """Its port."""
    server = HttpServer(binding, limits)
    task = asyncio.create_task(server.run_until_stopped())
    try:
        yield binding.listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task


def limited(app: Any = echo, **limits: Any) -> AbstractAsyncContextManager[int]:
    """`serving` an application with these limits."""
    return serving(Binding(app, listen("127.0.0.1", 0)), Limits(**limits))


async def answers(port: int, *parts: bytes) -> bytes:
    """Everything that the server sends for these parts until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(PATIENCE):
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
    finally:
        writer.close()


@cases(
    "parts",
    ("says nothing", ()),
    ("one letter", (b"P",)),
    ("headers without an end", (HEAD,)),
    ("in the middle of a header", (HEAD + b"X-A: ",)),
)
async def test_slow_headers_are_cut_off(parts: tuple[bytes, ...]) -> None:
    async with limited(head_seconds=SOON, request_seconds=LATE) as port:
        assert await answers(port, *parts) == b""


async def test_dripping_headers_do_not_extend_the_deadline() -> None:
    async with limited(head_seconds=SOON, request_seconds=LATE) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        async with asyncio.timeout(PATIENCE):
            while not reader.at_eof():
                writer.write(b"X-A: b\r\n")
                try:
                    await asyncio.wait_for(reader.read(1), 0.02)
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    break
        writer.close()


@pytest.mark.parametrize("app", [echo, hasty], ids=["awaited", "answered already"])
async def test_slow_body_is_cut_off(app: Any) -> None:
    async with limited(app, head_seconds=LATE, request_seconds=SOON) as port:
        got = await answers(port, HEAD + b"Content-Length: 10\r\n\r\n12345")
    assert got.startswith(b"HTTP/1.1 401") if app is hasty else got == b""


async def test_unread_response_is_cut_off() -> None:
    async with limited(endless, head_seconds=LATE, request_seconds=SOON) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: hook\r\n\r\n")
        await writer.drain()
        async with asyncio.timeout(PATIENCE):
            while True:  # a peer that is gone answers a write with a reset
                writer.write(b"x")
                try:
                    await writer.drain()
                except ConnectionError:
                    break
                await asyncio.sleep(0.02)
        writer.close()


@cases(
    "head",
    ("one large header", HEAD + b"X-A: " + b"a" * MOST_HEAD + b"\r\n\r\n"),
    ("many headers", HEAD + b"X: y\r\n" * 200 + b"\r\n"),
    ("one that never ends", HEAD + b"X-A: " + b"a" * 2 * MOST_HEAD),
)
async def test_large_headers_are_refused(head: bytes) -> None:
    async with limited() as port:
        assert await answers(port, head) == b"HTTP/1.1 431 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def test_body_does_not_count_as_header() -> None:
    size = 4 * MOST_HEAD
    async with limited() as port:
        request = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size
        assert (await answers(port, request)).endswith(b"\r\n\r\n%d" % size)


async def test_each_request_of_a_connection_has_its_own_deadline() -> None:
    one = HEAD + b"Content-Length: 3\r\n\r\nabc"
    async with limited(head_seconds=LATE, request_seconds=LATE) as port:
        got = await answers(port, one, one, one + one, HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc")
    assert got.count(b"HTTP/1.1 200 OK") == 5


async def test_idle_keep_alive_connection_stays_open() -> None:
    async with limited(head_seconds=SOON, request_seconds=SOON) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(HEAD + b"Content-Length: 3\r\n\r\nabc")
            assert await reader.readuntil(b"\r\n\r\n3")
            await asyncio.sleep(3 * SOON)
        writer.close()


async def test_body_after_the_response_keeps_the_connection() -> None:
    async with limited(hasty, head_seconds=LATE, request_seconds=SOON) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(HEAD + b"Content-Length: 3\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n")
            writer.write(b"abc")
            await asyncio.sleep(3 * SOON)
        writer.close()


Held = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[..., Awaitable[Held]]
ONE = HEAD + b"Content-Length: 3\r\n\r\nabc"


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens a connection to a port, and closes it at the end."""
    writers = []

    async def connect(port: int, source: str = "127.0.0.1") -> Held:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()


async def ask(held: Held) -> None:
    """A request on a connection that is open, and its response."""
    reader, writer = held
    writer.write(ONE)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readuntil(b"\r\n\r\n3")).startswith(b"HTTP/1.1 200")


async def gone(held: Held) -> bool:
    """Whether the server has closed this connection, or does so soon."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await held[0].read(1) == b""
    except ConnectionResetError:
        return True


async def test_longest_idle_connection_is_closed_at_the_limit(opened: Open) -> None:
    async with limited(connections=2) as port:
        first, second = await opened(port), await opened(port)
        for held in (first, second, first):
            await ask(held)
        third = await opened(port)
        await ask(third)
        assert await gone(second)
        await ask(first)


async def test_connection_without_a_response_is_closed_first(opened: Open) -> None:
    async with limited(connections=2) as port:
        answered, slow = await opened(port), await opened(port)
        await ask(answered)
        slow[1].write(HEAD)
        third = await opened(port)
        await ask(third)
        assert await gone(slow)
        await ask(answered)


async def test_client_at_its_share_closes_its_own_connection(opened: Open) -> None:
    async with limited(peer_connections=2) as port:
        other = await opened(port, source="127.0.0.2")
        mine = [await opened(port) for _ in range(3)]
        for held in (*mine[1:], other):
            await ask(held)
        assert await gone(mine[0])


async def test_active_request_keeps_its_connection(opened: Open) -> None:
    release = asyncio.Event()

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await echo(scope, receive, send)

    async with limited(patient, connections=1) as port:
        held = await opened(port)
        held[1].write(ONE)
        await held[1].drain()
        await asyncio.sleep(SOON)
        refused = await opened(port)
        assert await gone(refused)
        release.set()
        async with asyncio.timeout(PATIENCE):
            assert await held[0].readuntil(b"\r\n\r\n3")


async def test_pipelined_requests_are_bounded() -> None:
    served = 0

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        nonlocal served
        served += 1
        await hasty(scope, receive, send)

    async with limited(counting) as port:
        await answers(port, b"GET / HTTP/1.1\r\nHost: hook\r\n\r\n" * 1000)
    assert served <= Limits().pipelined + 1


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
async def test_response_before_the_body_is_read(close: bytes) -> None:
    size = 8 * 1024 * 1024
    async with limited(hasty) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + close + b"Content-Length: %d\r\n\r\n" % size + b"a" * size)
        async with asyncio.timeout(PATIENCE):
            await writer.drain()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
            if close:
                assert await reader.read() == b""
        writer.close()


async def test_body_after_the_response_is_bounded() -> None:
    async with limited(hasty, head_seconds=LATE, request_seconds=LATE, drained_bytes=100_000) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(10_000):
                writer.write(b"a" * 10_000)
                async with asyncio.timeout(PATIENCE):
                    await writer.drain()
                await asyncio.sleep(0)
            pytest.fail("100 MB were read")
        writer.close()


@cases(
    "sent",
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00"),
    ("unknown version", b"GET / HTTP/9.9\r\n\r\n"),
)
async def test_non_http_bytes_get_no_details_and_no_log_line(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with limited() as port:
        assert await answers(port, sent) == b"HTTP/1.1 400 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    assert caplog.messages == []


async def unknown(scope: Any, receive: Any, send: Any) -> None:
    """Accepts no token."""
    scope["state"][LAST] = True
    await hasty(scope, receive, send)


async def test_unauthenticated_connection_ends_after_its_request() -> None:
    async with limited(unknown, head_seconds=LATE, request_seconds=LATE) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: 3\r\n\r\nab")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), SOON)
            writer.write(b"c")
            assert await reader.read() == b""
        writer.close()

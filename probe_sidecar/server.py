"""The sidecar's own HTTP face: health, and whatever else it is given to show. Takes callables, imports nobody."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_CONNECTIONS: Final = 64
"""At once. Files that visitors hold open are files that probes lack, and 128 are kept for all that is no probe."""

REQUEST_SECONDS: Final = 30.0
"""From the connection, or the answer before, to the end of an answer."""

MOST_HEAD: Final = 32 * 1024
"""Bytes of request line and headers."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answer(NamedTuple):
    """One HTTP answer. A body that comes in pieces is sent as they come, and lets others have their turn between."""

    status: int
    body: str | AsyncIterator[str]
    content_type: str = "text/plain; charset=utf-8"


Query = Mapping[str, str]
"""What stands behind the "?", decoded; of a name that repeats the last."""

Page = Callable[[Query], Answer]


def health(problem: Callable[[], str | None]) -> Page:
    """A page that says "ok", or 503 with the problem in words."""

    def page(_query: Query) -> Answer:
        found = problem()
        return Answer(200, "ok\n") if found is None else Answer(503, found + "\n")

    return page


def application(pages: Mapping[str, Page]) -> Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]:
    """An ASGI application that serves `pages` to GET and HEAD."""

    async def serve(scope: MutableMapping[str, Any], _receive: Receive, send: Send) -> None:
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        answer = _answer(pages, scope["method"], scope["path"], query)
        headers = [(b"content-type", answer.content_type.encode())]
        if isinstance(answer.body, str):
            headers.append((b"content-length", b"%d" % len(answer.body.encode())))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if scope["method"] != "HEAD":
            async for piece in _pieces(answer.body):
                await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return serve


async def _pieces(body: str | AsyncIterator[str]) -> AsyncIterator[str]:
    if isinstance(body, str):
        yield body
    else:
        async for piece in body:
            yield piece


def _answer(pages: Mapping[str, Page], method: str, path: str, query: Query) -> Answer:
    page = pages.get(path)
    if page is None:
        return Answer(404, f"no such page; there are {', '.join(sorted(pages))}\n")
    if method not in {"GET", "HEAD"}:
        return Answer(405, "only GET and HEAD are answered here\n")
    return page(query)


class Visitor(HttpToolsProtocol):
    """One connection: a short one, of few. uvicorn itself ends only those that idle after an answer."""

    seconds = REQUEST_SECONDS
    _end: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Counts it; who is one too many has to come again."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._allow()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As long as the head of the request has an end."""
        self._head += len(data)
        super().data_received(data)
        if self._head > MOST_HEAD:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """A body is read, and ignored, within the same limits."""
        self._head = 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The next request has its own time."""
        super().on_response_complete()
        self._head = 0
        self._allow()

    def _allow(self) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = self.loop.call_later(self.seconds, self.transport.abort)


class PageServer:
    """Serves pages inside the running event loop until it is stopped."""

    def __init__(self, pages: Mapping[str, Page], *, host: str, port: int) -> None:
        config = uvicorn.Config(
            application(pages),
            http=Visitor,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            ws="none",
        )
        self._server = _Embedded(config)
        self._address = (host, port)
        self.port = port
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen; `port` tells where, if it was 0. OSError when the address is taken."""
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        listener = socket.create_server(self._address, family=family, backlog=128)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="pages")

    async def stop(self) -> None:
        """Stop listening and let running answers end."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _Embedded(uvicorn.Server):
    """uvicorn that leaves the process's signals alone."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

"""A connection to the stand-in API server without sockets, for virtual time: it can be cut and stop responding."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import httpx

from playground.apiserver.server import FakeApiServer
from probe_sidecar.kube.client import KubeClient

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

Messages = asyncio.Queue[tuple[float, Message]]
"""When the application sent what."""

LATENCY = 0.005


class Link(httpx.AsyncBaseTransport):
    """One client's way. `cut()`: refused and broken at once. `hush()`: nothing comes through, either way.

    `lag` is how much later than sent (s) the events of a watch arrive.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._up = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._broken = asyncio.Event()
        self.lag = 0.0

    def cut(self) -> None:
        self._up = False
        self._broken.set()

    def hush(self) -> None:
        self._flowing.clear()

    def heal(self) -> None:
        self._up = True
        self._flowing.set()
        self._broken = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        broken = self._broken
        await self.carry(broken)
        messages: Messages = asyncio.Queue()
        task = asyncio.create_task(_call(self._app, request, body, messages))
        stream = Stream(self, broken, messages, task, request.extensions["timeout"]["read"])
        stream.lags = "watch" in request.url.params
        try:
            _, start = await messages.get()
            await self.carry(broken)
        except BaseException:
            await stream.aclose()
            raise
        return httpx.Response(start["status"], headers=start["headers"], stream=stream)

    async def carry(self, broken: asyncio.Event, sent: float | None = None) -> None:
        """One message takes its time, or never arrives."""
        late = 0.0 if sent is None else sent + self.lag - asyncio.get_running_loop().time()
        await asyncio.sleep(LATENCY + max(late, 0.0))
        await self._flowing.wait()
        if broken.is_set() or not self._up:
            raise httpx.ConnectError("cut")


class Stream(httpx.AsyncByteStream):
    """An answer's body as the application sends it; after `patience` seconds without a byte it is given up."""

    def __init__(
        self, link: Link, broken: asyncio.Event, messages: Messages, task: asyncio.Task[None], patience: float
    ) -> None:
        self._link, self._broken, self._messages, self._task = link, broken, messages, task
        self._patience = patience
        self.lags = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            try:
                async with asyncio.timeout(self._patience):
                    message = await self._next()
            except TimeoutError:
                raise httpx.ReadTimeout("silence") from None
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def _next(self) -> Message:
        sent, message = await self._sent()
        await self._link.carry(self._broken, sent if self.lags else None)
        return message

    async def _sent(self) -> tuple[float, Message]:
        getting, breaking = asyncio.ensure_future(self._messages.get()), asyncio.ensure_future(self._broken.wait())
        try:
            await asyncio.wait((getting, breaking), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                raise httpx.ReadError("cut")
            return getting.result()
        finally:
            getting.cancel()
            breaking.cancel()

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def _call(app: App, request: httpx.Request, body: bytes, messages: Messages) -> None:
    unread = [body]
    clock = asyncio.get_running_loop().time

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def send(message: Message) -> None:
        await messages.put((clock(), message))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "path": request.url.path,
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
    }
    await app(scope, receive, send)


def application(server: FakeApiServer) -> App:
    """Content that the server would serve on its socket."""
    app: App = server.api.app
    return app


def client(link: Link, deadline: float) -> KubeClient:
    """The sidecar's own client over the link."""
    http = httpx.AsyncClient(transport=link, base_url="http://api", headers={"User-Agent": "replica"})
    return KubeClient(http, deadline=deadline)

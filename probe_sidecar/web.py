"""The prober's own pages: a Starlette application of health, metrics and status. Takes callables, imports no part."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from runtime.http_server import Binding, HttpServer, Limits, listen

LIMITS: Final = Limits(connections=64, peer_connections=32, request_seconds=30.0, idle_seconds=30)
"""Files that clients hold open are files that probes lack: 128 are kept for all that is not a probe."""

SLICE_SECONDS: Final = 0.001
"""For which pieces of a body are made in one turn of the event loop: ten thousand addresses must not delay the probes.
"""

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
"""Of every response: texts from addresses and from DNS are shown, and none may become a script or a frame."""

FILES: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}
"""The page for people, in the folder page/; index.html is served at /."""


class Page(NamedTuple):
    """One response. A body in pieces, each of which takes little time, is made in turns of SLICE_SECONDS, of all
    responses together.
    """

    status: int
    body: str | Iterator[str]
    content_type: str = "text/plain; charset=utf-8"


Query = Mapping[str, str]
"""The query string, decoded; of a name that repeats the last."""

MakePage = Callable[[Query], Page]


def health(problem: Callable[[], str | None]) -> MakePage:
    """A page that says "ok", or 503 with the problem."""

    def page(_query: Query) -> Page:
        found = problem()
        return Page(200, "ok\n") if found is None else Page(503, found + "\n")

    return page


def page_files() -> dict[str, MakePage]:
    """The files of the page for people, by their paths."""
    folder = Path(__file__).with_name("page")

    def served(name: str) -> MakePage:
        text = (folder / name).read_text(encoding="utf-8")
        return lambda _query: Page(200, text, FILES[name])

    return {"/" if name == "index.html" else f"/{name}": served(name) for name in FILES}


def application(pages: Mapping[str, MakePage]) -> Starlette:
    """Serves `pages` by their paths to GET and HEAD."""
    names = ", ".join(sorted(pages))

    async def refuse(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
        texts = {404: f"no such page: there are {names}", 405: "wrong method: write GET or HEAD"}
        return PlainTextResponse(texts[error.status_code] + "\n", error.status_code, error.headers)

    turn = asyncio.Lock()
    routes = [Route(path, partial(_respond, page, turn)) for path, page in pages.items()]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


async def _respond(page: MakePage, turn: asyncio.Lock, request: Request) -> Response:
    made = page(dict(request.query_params))
    if isinstance(made.body, str):
        return Response(made.body, made.status, HEADERS, made.content_type)
    return StreamingResponse(_in_turns(made.body, turn), made.status, HEADERS, made.content_type)


async def _in_turns(pieces: Iterator[str], turn: asyncio.Lock) -> AsyncIterator[str]:
    """As many pieces together as are made in SLICE_SECONDS; then the other work of the event loop has its turn."""
    while True:
        async with turn:
            made, ends = list[str](), monotonic() + SLICE_SECONDS
            for piece in pieces:
                made.append(piece)
                if monotonic() >= ends:
                    break
            await asyncio.sleep(0)
        if not made:
            return
        yield "".join(made)


class PageServer:
    """Serves pages inside the running event loop until it is stopped."""

    def __init__(self, pages: Mapping[str, MakePage], *, host: str, port: int) -> None:
        self._application = application(pages)
        self._host = host
        self._running: tuple[HttpServer, asyncio.Task[None]] | None = None
        self.port = port

    def start(self) -> None:
        """Listen; `port` is then the real one, if it was 0. Raises CannotListen."""
        listener = listen(self._host, self.port)
        self.port = listener.getsockname()[1]
        server = HttpServer(Binding(self._application, listener), LIMITS)
        self._running = server, asyncio.create_task(server.run_until_stopped(), name="pages")

    async def stop(self) -> None:
        """Stop listening and let responses under way end."""
        if self._running is not None:
            server, task = self._running
            server.should_exit = True
            await task

"""An ASGI application on a loopback socket in the running event loop; it can be stopped and started again."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

LEAVE_SECONDS = 2.0

ACCEPT_SECONDS = 0.01
"""Before a server closes: asyncio would lose the socket of a connection that was accepted just before."""


class LoopbackServer:
    """Serves `app` on 127.0.0.1; port 0 takes a free one at the first start and keeps it."""

    def __init__(self, app: Starlette, port: int = 0) -> None:
        self.port = port
        self._app = app
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens; OSError if the port is taken."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self._app, log_config=None, access_log=False, lifespan="off", ws="none")
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=f"server on port {self.port}")
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Refuses connections from now on and breaks the open ones."""
        if self._server is not None and self._task is not None:
            self._server.leave.set()
            await self._task
        self._server = self._task = None

    def hang_up(self, client: tuple[str, int] | None = None) -> None:
        """Breaks the connection of a client, or all."""
        if self._server is not None:
            self._server.hang_up(client)


class _Server(uvicorn.Server):
    """A uvicorn server without signal handlers that stops at once, also with open connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leave = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(ACCEPT_SECONDS)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self.hang_up()
        await asyncio.sleep(0)  # an aborted connection closes its socket in the next iteration of the loop
        if tasks := set(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=LEAVE_SECONDS)

    def hang_up(self, client: tuple[str, int] | None = None) -> None:
        for transport in [connection.transport for connection in self.server_state.connections]:
            if client in (None, transport.get_extra_info("peername")):
                transport.abort()

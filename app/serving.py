"""How the hook's two doors are served: /sync for Metacontroller on one, health and metrics on the other."""

import asyncio
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn
import uvloop

from app.guard import HEAD_SECONDS, Guarded

KEEP_ALIVE_SECONDS = 120
"""Longer than the 90 s for which Metacontroller keeps an idle connection: a POST into a closing one is lost."""

SHUTDOWN_SECONDS = 10


class CannotListen(Exception):
    """The address cannot be had; the text says which and why."""


class Door(NamedTuple):
    """An application, and the socket where it is asked."""

    app: Any
    listener: socket.socket
    tls: ssl.SSLContext | None = None


def server_config(app: Any, tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    """How uvicorn serves: quiet while all is well, and connections outlive Metacontroller's."""
    factory = None if tls is None else lambda *_: tls
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=Guarded,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        ssl_context_factory=factory,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; "::" takes IPv4 too. Raises CannotListen."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address[:2], family=family, backlog=1024, dualstack_ipv6=both)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # Python repeats the address there
        raise CannotListen(f"cannot listen on {host} port {port}: {reason}") from None


def url(listener: socket.socket, scheme: str = "http") -> str:
    """Where a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def serve(doors: Sequence[Door], drain: float = 0) -> signal.Signals:
    """Serve until SIGTERM or SIGINT, and give that signal. Running answers are finished first.

    After a SIGTERM, `drain` seconds more: a Service's clients learn only by and by that a Pod is going, and until then
    a closed door is an error to them. Each answer of that time asks its client to connect anew, elsewhere.
    """
    servers = [_Server(server_config(door.app, door.tls)) for door in doors]
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(_serve(servers, [door.listener for door in doors], drain))


async def _serve(servers: Sequence["_Server"], listeners: Sequence[socket.socket], drain: float) -> signal.Signals:
    told: list[signal.Signals] = []
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        told.append(number)
        patient = drain > 0 and told == [signal.SIGTERM]  # who asks twice does not want to wait
        for server in servers:
            if patient:
                server.send_clients_away()
                loop.call_later(drain, server.handle_exit, number, None)
            else:
                server.handle_exit(number, None)  # a second SIGINT does not wait for running answers

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    async with asyncio.TaskGroup() as group:
        for server, listener in zip(servers, listeners, strict=True):
            group.create_task(server.serve(sockets=[listener]))
    return told[0]


class Loop(uvloop.Loop):
    """uvloop with a limit that uvicorn cannot be told: for TLS handshakes, before which no connection is counted."""

    handshake_seconds = HEAD_SECONDS

    async def create_server(self, protocol_factory: Any, *arguments: Any, ssl: Any = None, **options: Any) -> Any:
        """As the loop's own."""
        if ssl is not None:
            options["ssl_handshake_timeout"] = self.handshake_seconds
        return await super().create_server(protocol_factory, *arguments, ssl=ssl, **options)


class _Server(uvicorn.Server):
    """uvicorn that leaves the process's signals to us: there are two of it."""

    def send_clients_away(self) -> None:
        """Close each connection after its next answer; uvicorn makes its default headers of the second list anew."""
        for headers in (self.server_state.default_headers, self.config.encoded_headers):
            headers.append((b"connection", b"close"))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

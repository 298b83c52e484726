"""The HTTP server of both processes: uvicorn with limits for clients that are slow, endless or many.

The limits are in `runtime.connections`. Metacontroller's own timeout is 10 s.
"""

import asyncio
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import uvicorn

from external_service.kind import host_port
from runtime.connections import LAST, Acceptor, Binding, Connection, Limits
from runtime.settings import EVERY_ADDRESS

__all__ = ["LAST", "Binding", "CannotListen", "HttpServer", "Limits", "listen", "serve_until_signal", "url"]

SHUTDOWN_SECONDS: Final = 10

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
"""Each ends a process as SIGTERM does; the default action of the last three would kill it in the middle of its work."""


class CannotListen(Exception):
    """The address cannot be had; the text says which and why."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; EVERY_ADDRESS is IPv4 alone where this machine has no IPv6. Raises CannotListen."""
    if host == EVERY_ADDRESS and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104 - see above
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = host == EVERY_ADDRESS
        return socket.create_server(address[:2], family=family, backlog=1024, dualstack_ipv6=both)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # Python repeats the address there
        raise CannotListen(cannot_listen(host, port, reason)) from None


def cannot_listen(host: str, port: int, reason: str) -> str:
    """`reason` is the system's."""
    return f"cannot listen on {host} port {port}: {reason}"


def url(listener: socket.socket, scheme: str = "http") -> str:
    """The URL of a listening socket."""
    return f"{scheme}://{host_port(*listener.getsockname()[:2])}"


class HttpServer(uvicorn.Server):
    """One application on one listening socket, until `should_exit` is set. Signals are left to the process."""

    def __init__(self, binding: Binding, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        super().__init__(
            uvicorn.Config(
                binding.app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=self._limits.idle_seconds,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._binding = binding

    async def run_until_stopped(self) -> None:
        """Serve until `should_exit` is set; responses under way are finished first."""
        await self.serve(sockets=[self._binding.listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Accept connections with an Acceptor in place of asyncio's Server."""
        await self.lifespan.startup()
        acceptor = Acceptor(self._binding, self._limits, self._connection)
        acceptor.start()
        self.servers = [acceptor]  # type: ignore[list-item]
        self.started = True

    def _connection(self) -> Connection:
        return Connection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def close_after_next_response(self) -> None:
        """Ask each client to connect again, elsewhere; uvicorn makes its default headers of the second list again."""
        for headers in (self.server_state.default_headers, self.config.encoded_headers):
            headers.append((b"connection", b"close"))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_until_signal(bindings: Sequence[Binding], drain: float = 0) -> signal.Signals:
    """Serve until one of STOP_SIGNALS, and return that signal. Responses under way are finished first.

    After any but SIGINT, `drain` seconds more: clients of a Service stop using a terminating Pod only after a while,
    and until then a closed port is an error to them. Each response of that time closes its connection.
    """
    servers = [HttpServer(binding) for binding in bindings]
    received: list[signal.Signals] = []
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        received.append(number)
        patient = drain > 0 and len(received) == 1 and number != signal.SIGINT  # a second signal ends the drain
        for server in servers:
            if patient:
                server.close_after_next_response()
                loop.call_later(drain, server.handle_exit, number, None)
            else:
                server.handle_exit(number, None)  # a second SIGINT does not wait for responses under way

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.run_until_stopped())
    return received[0]

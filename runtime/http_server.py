"""The HTTP server of both processes: uvicorn with limits for clients that are slow, endless or many.

uvicorn has no limits for what comes before a response. A client beyond a limit is cut off without one; Metacontroller's
own timeout is 10 s.
"""

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import uvicorn
from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SHUTDOWN_SECONDS: Final = 10

LAST: Final = "last_request"
"""Set in the `state` of a request whose client should not come back: its connection is closed after the response."""

_REFUSAL: Final = b"HTTP/1.1 %d \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NO_HTTP, _TOO_LARGE = _REFUSAL % 400, _REFUSAL % 431


class Limits(NamedTuple):
    """`head_seconds` run from the connection, or the first byte of a further request, to the end of the headers;
    `request_seconds` from there to the last byte of body and response. `head_bytes` are request line and headers.
    """

    connections: int = 512
    head_bytes: int = 32 * 1024
    head_seconds: float = 10.0
    request_seconds: float = 60.0
    idle_seconds: int = 120
    """Longer than the 90 s for which Metacontroller keeps an idle connection: a POST into a closing one is lost."""


class CannotListen(Exception):
    """The address cannot be had; the text says which and why."""


class Binding(NamedTuple):
    """An ASGI application and the socket where it is served."""

    app: Any
    listener: socket.socket
    tls: ssl.SSLContext | None = None

    @property
    def tls_factory(self) -> Callable[..., ssl.SSLContext] | None:
        """The context in the form that uvicorn takes."""
        tls = self.tls
        return None if tls is None else lambda *_: tls


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
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Connection(HttpToolsProtocol):
    """One connection, within `limits`."""

    limits = Limits()

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0
    _received = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Counts it, and the time of its first request begins."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._allow(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, as long as the head stays small.

        Instead of uvicorn's own, whose response names the server and whose log any client could fill.
        """
        if self._in_head:
            self._head += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self._refuse(_NO_HTTP)
        except HttpParserUpgrade:
            pass  # the request is answered as if it had not asked for another protocol
        if self._in_head and self._head > self.limits.head_bytes and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head, self._received = True, False
        self._allow(self.limits.head_seconds)

    def on_headers_complete(self) -> None:
        """Passes the request to the application."""
        self._in_head, self._head = False, 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.head_bytes:
            self._refuse(_TOO_LARGE)
            return
        self._allow(self.limits.request_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body; that of a refused request is dropped."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request's last byte."""
        self._received = True
        if self.cycle is not None:
            super().on_message_complete()
            self._settle()

    def on_response_complete(self) -> None:
        """The response's last byte."""
        super().on_response_complete()
        self._settle()

    def _settle(self) -> None:
        """The time for a request ends when both sides are complete; a connection marked LAST ends with it.

        Not before: closed while the client still sends, it would be reset, and the response lost.
        """
        if self._received and self.cycle.response_complete:
            self._stop()
            if LAST in self.cycle.scope["state"]:
                self.transport.close()

    def _allow(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, response: bytes) -> None:
        self.transport.write(response)
        self.transport.close()


class HttpServer(uvicorn.Server):
    """One application on one listening socket, until `should_exit` is set. Signals are left to the process."""

    def __init__(self, binding: Binding, limits: Limits | None = None) -> None:
        chosen = limits or Limits()
        super().__init__(
            uvicorn.Config(
                binding.app,
                http=type("LimitedConnection", (Connection,), {"limits": chosen}),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                ssl_context_factory=binding.tls_factory,
                timeout_keep_alive=chosen.idle_seconds,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._listener = binding.listener

    async def run_until_stopped(self) -> None:
        """Serve until `should_exit` is set; responses under way are finished first."""
        await self.serve(sockets=[self._listener])

    def close_after_next_response(self) -> None:
        """Ask each client to connect again, elsewhere; uvicorn makes its default headers of the second list again."""
        for headers in (self.server_state.default_headers, self.config.encoded_headers):
            headers.append((b"connection", b"close"))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_until_signal(bindings: Sequence[Binding], drain: float = 0) -> signal.Signals:
    """Serve until SIGTERM or SIGINT, and return that signal. Responses under way are finished first.

    After a SIGTERM, `drain` seconds more: clients of a Service learn only after a while that a Pod is going, and until
    then a closed port is an error to them. Each response of that time closes its connection.
    """
    servers = [HttpServer(binding) for binding in bindings]
    received: list[signal.Signals] = []
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        received.append(number)
        patient = drain > 0 and received == [signal.SIGTERM]  # a second signal ends the drain
        for server in servers:
            if patient:
                server.close_after_next_response()
                loop.call_later(drain, server.handle_exit, number, None)
            else:
                server.handle_exit(number, None)  # a second SIGINT does not wait for responses under way

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.run_until_stopped())
    return received[0]

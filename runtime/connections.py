"""The connections of a server: uvicorn's protocol class with limits, and the accepting of new ones.

uvicorn limits neither what comes before a response nor how many connections there are. A client beyond a limit gets a
bare 400 or 431 or is cut off.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, NamedTuple

import httptools
from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

LAST: Final = "last_request"
"""Set in the `state` of a request whose client should not come back: its connection is closed after the response."""

_REFUSAL: Final = b"HTTP/1.1 %d \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NO_HTTP, _TOO_LARGE = _REFUSAL % 400, _REFUSAL % 431

_ACCEPTS_PER_TURN: Final = 64
_ACCEPT_PAUSE_SECONDS: Final = 0.1


class Limits(NamedTuple):
    """`head_seconds` run from the connection, or the first byte of a further request, to the end of the headers;
    `request_seconds` from there to the last byte of body and response.
    """

    connections: int = 512
    peer_connections: int = 128
    """Of one IPv4 address, or of one /64 of IPv6."""
    head_bytes: int = 32 * 1024
    """All of a request but its body: request line, headers, chunk lines, trailers."""
    headers: int = 128
    """Trailers included."""
    pipelined: int = 8
    """Requests that a client sends before it has the response to an earlier one."""
    drained_bytes: int = 64 * 1024 * 1024
    """Bytes of a body that are read and dropped after the response, so that the client can read the response."""
    head_seconds: float = 10.0
    request_seconds: float = 60.0
    idle_seconds: int = 120
    """Longer than the 90 s for which Metacontroller keeps an idle connection: a POST into a closing one is lost."""


class Binding(NamedTuple):
    """An ASGI application and the socket where it is served."""

    app: Any
    listener: socket.socket
    tls: ssl.SSLContext | None = None


class Refused(Exception):
    """The request exceeds a limit: raised in a parser callback, which ends the parsing."""


class Connection(HttpToolsProtocol):
    """One connection. The Acceptor makes it, and sets these, at the accept: before its TLS handshake."""

    limits: Limits
    acceptor: "Acceptor"
    peer: str
    handshake: asyncio.Task[None]

    _timer: asyncio.TimerHandle | None = None
    _made = False  # past its TLS handshake
    _dropped = False
    _overhead = 0  # bytes of the current request that are not body
    _drained = 0
    _received = True  # the last byte of the current request; true between requests
    _finishing = False  # closes with the current request
    _upgrading = False  # the parser has stopped at a request for another protocol

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.answered = False
        self.since = self.loop.time()

    @property
    def busy(self) -> bool:
        """Whether the application is at work on a request that is here in full."""
        return self._received and self.cycle is not None and not self.cycle.response_started

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The time of its first request begins."""
        super().connection_made(transport)
        self._made = True
        self._allow(self.limits.head_seconds)
        if self._dropped:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Releases its place."""
        self._stop()
        self.acceptor.forget(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Cut it off."""
        if self._made:
            self.transport.abort()
        else:
            self.drop_handshake()

    def drop_handshake(self) -> None:
        """Cut it off unless it is past its TLS handshake."""
        if not self._made:
            self._dropped = True
            self.handshake.cancel()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser within the limits.

        Instead of uvicorn's own, whose response names the server and whose log any client could fill.
        """
        if self.transport.is_closing() or (self._finishing and self._received):
            return
        self._unset_keepalive_if_required()
        try:
            while data:
                self._overhead += len(data)
                data = self._feed(data)
        except HttpParserError as error:
            self._refuse(_TOO_LARGE if isinstance(error.__context__, Refused) else _NO_HTTP)
            return
        if self._overhead > self.limits.head_bytes:
            self._refuse(_TOO_LARGE)

    def _feed(self, data: bytes) -> bytes:
        """Rest of `data` after a request for another protocol.

        Such a request is answered as one without Upgrade: the parser takes no body after it, so its head is parsed
        again without the header.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self._upgrading:  # CONNECT: what follows is not for us
                self._finishing = True
                self._settle()
                return b""
            self._upgrading, self._overhead = False, 0
            head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode()]
            lines = [b"\r\n%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(b"".join((*head, *lines, b"\r\n\r\n")))
            rest: bytes = data[upgrade.args[0] :]
            return rest
        return b""

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if len(self.pipeline) >= self.limits.pipelined:
            raise Refused
        super().on_message_begin()
        self._received = False
        self._allow(self.limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        """A part of the URL."""
        super().on_url(url)
        self._measure(len(self.url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or, after the body, a trailer."""
        if len(self.headers) >= self.limits.headers:
            raise Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Passes the request to the application."""
        self._measure(len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers))
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrading = True
            return
        self._allow(self.limits.request_seconds)
        self._drained = 0
        super().on_headers_complete()
        self.cycle.transport = _Responding(self, self.cycle)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """A part of the body; after the response it is dropped."""
        self._overhead -= len(body)
        if self.cycle.response_complete:
            self._drained += len(body)
            if self._drained > self.limits.drained_bytes:
                self._close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request's last byte."""
        if self._upgrading:
            return
        self._received, self._overhead = True, 0
        super().on_message_complete()
        self._settle()

    def on_response_complete(self) -> None:
        """The response's last byte."""
        self.answered, self.since = True, self.loop.time()
        if self._finishing and self.pipeline:
            self._close()
        elif self._finishing:
            self.flow.resume_reading()
            self._settle()
        else:
            super().on_response_complete()
            self._settle()

    def finish(self) -> None:
        """Close when the current request is here in full.

        Not before: closed while the client still sends, it would be reset, and the response lost.
        """
        self._finishing = True

    def timeout_keep_alive_handler(self) -> None:
        """It has been idle for too long."""
        self._close()

    def _settle(self) -> None:
        """The time for a request ends when both sides are complete, and with it a connection that is to be closed."""
        if self._received and self.cycle.response_complete:
            self._stop()
            if self._finishing or LAST in self.cycle.scope["state"]:
                self._close()

    def _measure(self, size: int) -> None:
        if size > self.limits.head_bytes:
            raise Refused

    def _allow(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, response: bytes) -> None:
        """Answers unless a response is under way."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(response)
        self._close()

    def _close(self) -> None:
        """A client that does not read what it is still sent has `head_seconds`."""
        self.transport.close()
        self._allow(self.limits.head_seconds)


class _Responding(NamedTuple):
    """Transport for uvicorn's response, with another way to close."""

    connection: Connection
    cycle: RequestResponseCycle

    def write(self, data: bytes) -> None:
        """Send a part of the response."""
        self.connection.transport.write(data)

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self.connection.transport.is_closing()

    def close(self) -> None:
        """After the response, and after the request; at once if the application failed in the middle of a response."""
        if self.cycle.response_complete:
            self.connection.finish()
        else:
            self.connection.transport.close()


class Acceptor:
    """Accepts connections within the limits. It takes the place of asyncio's Server in uvicorn.

    At a limit it drops a connection for each new one, so that a health check or Metacontroller always gets one: first
    those that have never had a response, then those that have waited longest for their next request. TLS handshakes
    count from the accept on.
    """

    def __init__(self, binding: Binding, limits: Limits, protocol: Callable[[], Connection]) -> None:
        self._listener = binding.listener
        self._tls = binding.tls
        self._limits = limits
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._open: dict[str, set[Connection]] = {}
        self._count = 0
        self._closed = False

    def start(self) -> None:
        """Accept from now on."""
        if not self._closed:
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept no more; handshakes under way are cut off."""
        self._closed = True
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in [*self._all()]:
            connection.drop_handshake()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def forget(self, connection: Connection) -> None:
        """Release the place of a connection, if it still has one."""
        peers = self._open.get(connection.peer, set())
        if connection in peers:
            peers.remove(connection)
            self._count -= 1
            if not peers:
                del self._open[connection.peer]

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor is free
                if not self._drop_one_of(self._all()):
                    self._loop.remove_reader(self._listener)
                    self._loop.call_later(_ACCEPT_PAUSE_SECONDS, self.start)
                return
            self._admit(accepted, _peer(address[0]))

    def _admit(self, accepted: socket.socket, peer: str) -> None:
        of_peer = self._open.get(peer, set())
        full = len(of_peer) >= self._limits.peer_connections and not self._drop_one_of(of_peer)
        if full or (self._count >= self._limits.connections and not self._drop_one_of(self._all())):
            accepted.close()
            return
        accepted.setblocking(False)
        connection = self._protocol()
        connection.limits, connection.acceptor, connection.peer = self._limits, self, peer
        self._open.setdefault(peer, set()).add(connection)
        self._count += 1
        connection.handshake = self._loop.create_task(self._open_transport(connection, accepted))

    async def _open_transport(self, connection: Connection, accepted: socket.socket) -> None:
        seconds = self._limits.head_seconds
        times = {"ssl_handshake_timeout": seconds, "ssl_shutdown_timeout": seconds} if self._tls else {}
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=self._tls, **times)
        except (OSError, asyncio.CancelledError):  # a failed handshake is an OSError, too
            self.forget(connection)
            accepted.close()

    def _drop_one_of(self, connections: Iterable[Connection]) -> bool:
        """Whether there was one to drop; none that is busy."""
        found = min(
            (one for one in connections if not one.busy), key=lambda one: (one.answered, one.since), default=None
        )
        if found is None:
            return False
        self.forget(found)
        found.drop()
        return True

    def _all(self) -> Iterator[Connection]:
        for peers in self._open.values():
            yield from peers


def _peer(host: str) -> str:
    """Key of one client: an IPv4 address, or a /64 of IPv6, of which one machine has every address."""
    address = ip_address(host.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or address.packed[:8].hex())

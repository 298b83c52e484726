"""Backends that can be switched: servers on loopback that are healthy, refuse, are slow, fail or stall.

One asyncio server each. `refuse` closes the socket, so that the kernel refuses connections.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded
from h2.exceptions import ProtocolError

from playground.addresses import dial
from playground.certificate import server_context
from runtime.http_server import cannot_listen

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\nConnection: close\r\n\r\nerror\n"
HEAD_LIMIT = 64 * 1024
STOP_SECONDS = 2.0
SERVING, NOT_SERVING = 1, 2


class Mode(StrEnum):
    """Behaviour of a backend. For TCP, where a connection is enough, only `healthy` and `refuse` differ."""

    HEALTHY = "healthy"
    REFUSE = "refuse"
    SLOW = "slow"
    ERROR = "500"
    STALL = "stall"


class Protocol(StrEnum):
    HTTP = "http"
    HTTPS = "https"
    TCP = "tcp"
    GRPC = "grpc"
    HTTP2 = "http2"
    GRPCS = "grpcs"


SECURE = {Protocol.HTTPS: (), Protocol.GRPCS: ("h2",)}
"""The protocols over TLS, with their ALPN protocols."""


@dataclass(frozen=True, slots=True)
class Spot:
    """The address, port and protocol of one backend."""

    ip: str
    port: int
    protocol: Protocol


class Http2Server:
    """One HTTP/2 connection without IO: bytes in, streams with requests, bytes out."""

    def __init__(self) -> None:
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._connection.initiate_connection()

    def feed(self, data: bytes) -> list[int]:
        """Reads received bytes; returns the streams with a complete request. Raises h2's ProtocolError."""
        asking = []
        for event in self._connection.receive_data(data):
            if isinstance(event, DataReceived) and event.stream_id is not None:
                self._connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            if isinstance(event, StreamEnded) and event.stream_id is not None:
                asking.append(event.stream_id)
        return asking

    def answer_http(self, stream: int, status: int) -> None:
        """Responds on one stream with an HTTP status and no body."""
        self._connection.send_headers(stream, [(":status", str(status))], end_stream=True)

    def answer_health(self, stream: int, status: int) -> None:
        """Responds on one stream with a HealthCheckResponse, for any service."""
        message = bytes((0x08, status))
        connection = self._connection
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(stream, b"\x00" + len(message).to_bytes(4, "big") + message)
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def to_send(self) -> bytes:
        """The bytes to send now."""
        return self._connection.data_to_send()


class Backend:
    """One server, at `address`. `requests` counts all requests; in mode SLOW a response takes `slow_seconds`."""

    def __init__(
        self, spot: Spot, address: str, *, slow_seconds: float = 5.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.spot = spot
        self.address = address
        self.mode = Mode.HEALTHY
        self.requests = 0
        self.slow_seconds = slow_seconds
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}
        self._dropped = asyncio.Event()

    async def set(self, mode: Mode, slow_seconds: float | None = None) -> None:
        """Changes the mode and breaks open connections. OSError if it cannot listen on the port."""
        self.mode = mode
        self.slow_seconds = slow_seconds or self.slow_seconds
        self._drop()
        if mode is Mode.REFUSE:
            await self._close()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, ssl=self._tls, limit=HEAD_LIMIT, **self._place())

    async def stop(self) -> None:
        """Closes the socket and every connection, and waits for the requests being served."""
        self._drop()
        await self._close()
        if serving := list(filter(None, self._open)):
            await asyncio.wait(serving, timeout=STOP_SECONDS)

    def _place(self) -> dict[str, Any]:
        """Where to listen, as arguments of asyncio.start_server."""
        return {"host": self.address, "port": self.spot.port}

    def _response(self, _head: bytes) -> bytes:
        """The response to an HTTP request."""
        return ERROR if self.mode is Mode.ERROR else OK

    def _count(self) -> None:
        self.requests += 1

    async def _close(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            for listener in server.sockets:  # asyncio would lose a connection that it accepted just before `close`
                asyncio.get_running_loop().remove_reader(listener)
            await asyncio.sleep(0)
            server.close()

    def _drop(self) -> None:
        self._dropped.set()
        self._dropped = asyncio.Event()
        for writer in self._open.values():
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open[task] = writer
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ProtocolError):
            pass  # the client closed the connection
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._open.pop(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match self.spot.protocol:
            case Protocol.TCP:
                self._count()
                await reader.read(1)
            case Protocol.GRPC | Protocol.GRPCS | Protocol.HTTP2:
                await self._answer_http2(reader, writer)
            case _:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._delay()
                writer.write(self._response(head))
                await writer.drain()

    async def _answer_http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, failing = Http2Server(), self.mode is Mode.ERROR
        while data := await reader.read(HEAD_LIMIT):
            for stream in server.feed(data):
                await self._delay()
                if self.spot.protocol is Protocol.HTTP2:
                    server.answer_http(stream, 500 if failing else 200)
                else:
                    server.answer_health(stream, NOT_SERVING if failing else SERVING)
            writer.write(server.to_send())
            await writer.drain()

    async def _delay(self) -> None:
        """Delays the response in the modes that do; ConnectionAbortedError if the connection is dropped meanwhile."""
        self._count()
        if self.mode in (Mode.STALL, Mode.SLOW):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.slow_seconds if self.mode is Mode.SLOW else None):
                    await self._dropped.wait()
                    raise ConnectionAbortedError


class Backends:
    """All backends of a playground, by spot. `dial` maps an address to where its backends listen."""

    def __init__(self, dial: Callable[[str], str] = dial) -> None:
        self.dial = dial
        self.found: dict[Spot, Backend] = {}
        self.problems: dict[Spot, str] = {}

    async def ensure(self, spot: Spot, *, slow_seconds: float = 5.0) -> None:
        """Starts a backend unless there is one; a failure goes into `problems`."""
        if spot in self.found or spot in self.problems:
            return
        tls = server_context(*SECURE[spot.protocol]) if spot.protocol in SECURE else None
        backend = Backend(spot, self.dial(spot.ip), slow_seconds=slow_seconds, tls=tls)
        try:
            await backend.set(Mode.HEALTHY)
        except OSError as problem:
            self.problems[spot] = cannot_listen(backend.address, spot.port, os.strerror(problem.errno or 0))
        else:
            self.found[spot] = backend

    def at(self, ip: str) -> list[Backend]:
        """The backends of an address."""
        return [backend for spot, backend in self.found.items() if spot.ip == ip]

    async def set(self, ip: str, mode: Mode, slow_seconds: float | None = None) -> None:
        """Switches all backends of an address; LookupError if there is none."""
        backends = self.at(ip)
        if not backends:
            raise LookupError(f"there is no backend for {ip}")
        for backend in backends:
            await backend.set(mode, slow_seconds)

    async def stop(self) -> None:
        """Stops all of them."""
        for backend in self.found.values():
            await backend.stop()

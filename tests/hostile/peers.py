"""Hostile peers of a probe as a table: a new behaviour is a new row. Used by the tests and by bench/neighbour.py.

Each row is a server that waits for the request, sends its pieces and then holds, closes or resets.
"""

import asyncio
import ssl
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Literal

from hpack import Encoder

from probe_sidecar.probes import frames
from probe_sidecar.probes.frames import frame
from probe_sidecar.probes.message import (
    CLOSED_IN_BODY,
    CLOSED_IN_HEADERS,
    CLOSED_WITHOUT_RESPONSE,
    FIELDS_TOO_LARGE,
    HEADERS_TOO_LARGE,
    IMPOSSIBLE_PORT,
    MALFORMED_GRPC,
    OTHER_HOST,
    OTHER_SCHEME,
    READING_BODY,
    RESPONSE_TOO_LARGE,
    TLS_HANDSHAKE,
    TOO_MANY_CHUNKS,
    TOO_MANY_FRAMES,
    TOO_MANY_HEADERS,
    TOO_MANY_INTERIM,
    TOO_MANY_REDIRECTS,
    UNREADABLE_LOCATION,
    WAITING,
    WITHOUT_TEXT,
    grpc_status,
    handshake_failed,
    malformed_http,
    malformed_http2,
    stream_reset,
    timed_out,
)
from tests.unit.probe_sidecar.probes.servers import server_context

End = Literal["hold", "close", "reset"]
Pieces = Callable[[int], Iterable[bytes]]
"""Makes the pieces of one connection; it gets the port of the server."""


def record_fault(before: str) -> str:
    """Reason that OpenSSL gives for a malformed TLS record: `before` is that of versions before 3.2."""
    return before if ssl.OPENSSL_VERSION_INFO < (3, 2) else "record layer failure"


@dataclass(frozen=True, slots=True)
class Peer:
    """One behaviour and how the message of the failure that it must lead to begins.

    `tls` holds the protocols to choose from; None: no TLS.
    """

    name: str
    probe: Mapping[str, Any]
    pieces: Pieces
    message: str
    end: End = "hold"
    gap: float = 0.0
    tls: tuple[str, ...] | None = None
    timeout: float = 20.0


def of(*pieces: bytes) -> Pieces:
    """The same pieces on every connection."""
    return lambda _: pieces


def flood(first: bytes, piece: bytes, times: int = 100_000) -> Pieces:
    """`first`, then `piece` again and again, in writes of some 16 KB."""
    each = max(1, 16_384 // len(piece))
    return lambda _: chain((first,), repeat(piece * each, max(1, times // each)))


def drip(data: bytes) -> Pieces:
    """`data` byte by byte."""
    return lambda _: (data[at : at + 1] for at in range(len(data)))


HTTP: Mapping[str, Any] = {"httpGet": {"path": "/", "port": 0}}
HTTPS: Mapping[str, Any] = {"httpGet": {"path": "/", "port": 0, "scheme": "HTTPS"}}
BODY: Mapping[str, Any] = {"httpGet": {"path": "/", "port": 0, "bodyContains": "needle"}}
GRPC: Mapping[str, Any] = {"grpc": {"port": 0}}

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MANY_DIGITS = b"9" * 5_000
WRONG_VERSION = "wrong version number"


def redirects(location: bytes) -> Pieces:
    """A redirect to `location`, in which PORT represents the server's own port."""
    return lambda port: (
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
        + location.replace(b"PORT", str(port).encode())
        + b"\r\n\r\n",
    )


def http1(
    name: str, pieces: Pieces, message: str, *, probe: Mapping[str, Any] = HTTP, end: End = "hold", **rest: Any
) -> Peer:
    """A row for an HTTP/1.1 server."""
    return Peer(f"http1 {name}", probe, pieces, message, end, **rest)


def redirect(name: str, location: bytes, message: str, **rest: Any) -> Peer:
    """A row for an HTTP/1.1 server that redirects."""
    return http1(f"redirect {name}", redirects(location), f"HTTP 302, {message}", **rest)


MANY_ZEROS = b"http://127.0.0.1:" + b"0" * 5_000
TIMED_OUT = timed_out(1, "").removesuffix(" ()")
LENGTH = HEAD + b"Content-Length: "
BAD_LENGTH = malformed_http("Content-Length")
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
TRAILERS = HEAD + b"Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n"
ONLY_200: Mapping[str, Any] = {"httpGet": {"path": "/", "port": 0, "expectedStatuses": [200]}}
HTTP1 = (
    http1("endless status line", flood(b"HTTP/1.1 200 ", b"x"), HEADERS_TOO_LARGE),
    http1("endless headers", flood(HEAD, b"A: b\r\n"), HEADERS_TOO_LARGE),
    http1("many short headers", of(HEAD + b"A:\n" * 10_000 + b"\n"), TOO_MANY_HEADERS),
    http1("many continuation lines", of(HEAD + b"A: b\r\n" + b" c\r\n" * 9_000 + b"\r\n"), TOO_MANY_HEADERS),
    http1("interim responses", flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), TOO_MANY_INTERIM),
    http1("interim responses, then a final one", of(EARLY_HINTS * 6 + HEAD + b"\r\n"), TOO_MANY_INTERIM),
    http1("head byte by byte", drip(HEAD + b"A: " + b"x" * 40_000), TIMED_OUT, timeout=1.0),
    http1("body byte by byte", drip(LENGTH + b"9000\r\n\r\n" + b"x" * 8_000), TIMED_OUT, timeout=1.0, gap=0.001),
    http1("silence", of(), timed_out(1, WAITING), timeout=1.0),
    http1("no response within the body", of(LENGTH + b"9\r\n\r\nx"), timed_out(1, READING_BODY), timeout=1.0),
    http1("resets in the body", of(LENGTH + b"9\r\n\r\nx"), "connection reset", end="reset", gap=0.02),
    http1("status of many digits", of(b"HTTP/1.1 " + MANY_DIGITS + b" OK\r\n\r\n"), malformed_http("status line")),
    http1("status in other digits", of("HTTP/1.1 ²²² OK\r\n\r\n".encode("latin-1")), malformed_http("status line")),
    http1("length of many digits", of(LENGTH + MANY_DIGITS + b"\r\n\r\n"), BAD_LENGTH),
    http1("length with many zeros", of(LENGTH + b"0" * 5_000 + b"9\r\n\r\nx"), CLOSED_IN_BODY, end="close"),
    http1("length in other digits", of(LENGTH + "²\r\n\r\n".encode("latin-1")), BAD_LENGTH),
    http1("chunk size of 17 digits", of(CHUNKED + b"f" * 17 + b"\r\n"), malformed_http("chunk")),
    http1("huge chunk, then no response", of(CHUNKED + b"f" * 16 + b"\r\nx"), timed_out(1, READING_BODY), timeout=1.0),
    http1("endless chunk extension", flood(CHUNKED + b"1;", b"x"), malformed_http("chunk")),
    http1("tiny chunks", flood(CHUNKED, b"1\r\nx\r\n"), TOO_MANY_CHUNKS),
    http1("tiny chunks, byte by byte", drip(CHUNKED + b"1\r\nx\r\n" * 5_000), TOO_MANY_CHUNKS),
    http1("endless trailers", flood(CHUNKED + b"0\r\n", b"A: b\r\n"), malformed_http("trailer")),
    http1("forbidden trailer", of(TRAILERS), malformed_http("trailer")),
    http1("a body that never matches", flood(HEAD + b"\r\n", b"needl"), f"HTTP 200, {WITHOUT_TEXT}", probe=BODY),
    redirect("to itself", b"/", TOO_MANY_REDIRECTS, end="close"),
    redirect("to a port of many digits", b"http://127.0.0.1:" + MANY_DIGITS + b"/", IMPOSSIBLE_PORT),
    redirect("to port 0", b"http://127.0.0.1:0/", IMPOSSIBLE_PORT),
    redirect("to a port with many zeros", MANY_ZEROS + b"PORT/", TOO_MANY_REDIRECTS, end="close"),
    redirect("to a port in other digits", "http://127.0.0.1:²/".encode("latin-1"), UNREADABLE_LOCATION),
    redirect("to a long path", b"/" + b"a/" * 10_000 + b"../" * 5_000, UNREADABLE_LOCATION),
    redirect("with dots", b"/" + b"a/" * 1_500 + b"../" * 1_500, TOO_MANY_REDIRECTS, end="close"),
    redirect("with a bad escape", b"/%zz", UNREADABLE_LOCATION),
    redirect("to a file", b"file:///etc/passwd", OTHER_HOST, probe=ONLY_200),
    redirect("to another scheme", b"gopher://127.0.0.1:PORT/", OTHER_SCHEME),
    http1("redirect to TLS that is none", redirects(b"https://127.0.0.1:PORT/"), handshake_failed(WRONG_VERSION)),
)


START = frame(frames.SETTINGS, 0, 0)


def block(*fields: tuple[str, str]) -> bytes:
    """A field section."""
    encoded: bytes = Encoder().encode([(name.encode(), value.encode()) for name, value in fields])
    return encoded


def headers(content: bytes, flags: int = frames.END_HEADERS) -> bytes:
    """A HEADERS frame on the request's stream."""
    return frame(frames.HEADERS, flags, 1, content)


def literal(name: bytes, value: bytes) -> bytes:
    """A field that is not put into the table, plain; short names and values."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def sends(*frames: bytes) -> Pieces:
    """SETTINGS and these frames."""
    return of(START + b"".join(frames))


def head(status: int, *fields: tuple[str, str], flags: int = frames.END_HEADERS) -> bytes:
    """A head with these fields behind the status."""
    return headers(block((":status", str(status)), *fields), flags)


def data(content: bytes, flags: int = 0) -> bytes:
    """A DATA frame on the request's stream."""
    return frame(frames.DATA, flags, 1, content)


def health(message: bytes) -> Pieces:
    """A gRPC response with this message."""
    return sends(headers(OK_GRPC), data(message), headers(block(("grpc-status", "0")), LAST))


LAST = frames.END_HEADERS | frames.END_STREAM
GRPC_TYPE = ("content-type", "application/grpc")
OK_200 = block((":status", "200"))
OK_GRPC = block((":status", "200"), GRPC_TYPE)
SIZE_UPDATE = b"\x20"
LONG_INTEGER = b"\x3f" + b"\xff" * 12_000 + b"\x01"
HUFFMAN_12K = b"\x00\x01a" + b"\xff\x80\x5d" + b"\x1c" * 12_415

FRAMES = TOO_MANY_FRAMES
FIELDS = FIELDS_TOO_LARGE
INTERIM = TOO_MANY_INTERIM
HPACK = malformed_http2("header compression")

HTTP2: tuple[tuple[str, Pieces, str], ...] = (
    ("SETTINGS", flood(START, START), FRAMES),
    ("SETTINGS of many values", flood(START, frame(frames.SETTINGS, 0, 0, bytes(12_000))), malformed_http2("settings")),
    ("SETTINGS acknowledged", flood(START, frame(frames.SETTINGS, 1, 0)), FRAMES),
    ("PING", flood(START, frame(frames.PING, 0, 0, bytes(8))), FRAMES),
    ("PING replies", flood(START, frame(frames.PING, 1, 0, bytes(8))), FRAMES),
    ("WINDOW_UPDATE", flood(START, frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\1")), FRAMES),
    ("PRIORITY", flood(START, frame(frames.PRIORITY, 0, 1, bytes(5))), FRAMES),
    ("GOAWAY", flood(START, frame(frames.GOAWAY, 0, 0, b"\0\0\0\1" + bytes(4))), FRAMES),
    ("unknown frames", flood(START, frame(77, 0, 0)), FRAMES),
    ("large unknown frames", flood(START, frame(77, 0, 0, bytes(16_000)), 3_000), RESPONSE_TOO_LARGE),
    ("empty CONTINUATION", flood(START + headers(b"", 0), frame(frames.CONTINUATION, 0, 1)), FRAMES),
    ("CONTINUATION of a byte", flood(START + headers(b"", 0), frame(frames.CONTINUATION, 0, 1, b"x")), FRAMES),
    ("large CONTINUATION", flood(START + headers(b"", 0), frame(frames.CONTINUATION, 0, 1, b"x" * 16_384)), FIELDS),
    ("interim heads", flood(START, headers(block((":status", "103")))), INTERIM),
    ("table size updates", sends(headers(SIZE_UPDATE * 16_000)), HPACK),
    ("table size updates, then a head", sends(headers(SIZE_UPDATE * 3 + OK_200)), HPACK),
    ("a table of 4 GB", sends(headers(b"\x3f\xe1\xff\xff\xff\x0f")), HPACK),
    ("an integer without end", sends(headers(LONG_INTEGER)), HPACK),
    ("many fields", sends(headers(literal(b"a", b"") * 4_000)), FIELDS),
    ("many fields of no letter", sends(headers(b"\0\0\0" * 5_000)), FIELDS),
    ("indexed fields", sends(headers(b"\x88" * 16_000)), FIELDS),
    ("a long Huffman text", sends(headers(HUFFMAN_12K)), HPACK),
    ("a frame beyond the limit", sends(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"), malformed_http2("frame size")),
    ("a frame that never ends", sends(frame(frames.DATA, 0, 1, bytes(9))[:12]), TIMED_OUT),
    ("frames byte by byte", drip(START + frame(77, 0, 0, bytes(9_000))), TIMED_OUT),
    ("silence", of(), TIMED_OUT),
    ("no response after SETTINGS", of(START), TIMED_OUT),
    ("a reset of an unknown code", sends(frame(frames.RST_STREAM, 0, 1, b"\xff" * 4)), stream_reset(4294967295)),
    ("other streams", flood(START, frame(frames.HEADERS, 4, 3, OK_200)), FRAMES),
    ("an interrupted head", sends(headers(b"", 0) + START), malformed_http2("headers interrupted")),
    ("closes at once", of(), CLOSED_WITHOUT_RESPONSE),
    ("closes after SETTINGS", of(START), CLOSED_IN_BODY),
)

HTTP2_ONLY: tuple[tuple[str, Pieces, str], ...] = (
    ("DATA of an idle stream", sends(frame(frames.DATA, 0, 3, b"x")), malformed_http2("stream")),
    ("empty DATA", flood(START + headers(OK_200), frame(frames.DATA, 0, 1)), FRAMES),
    ("DATA of a byte", flood(START + headers(OK_200), frame(frames.DATA, 0, 1, b"x")), FRAMES),
    ("padded DATA", flood(START + headers(OK_200), frame(frames.DATA, frames.PADDED, 1, b"\x40" + bytes(64))), FRAMES),
    ("status of many digits", sends(headers(block((":status", "2" * 5_000)))), malformed_http2("status")),
    (
        "redirect to a port of many digits",
        sends(head(302, ("location", "https://127.0.0.1:" + "9" * 5_000), flags=LAST)),
        f"HTTP 302, {IMPOSSIBLE_PORT}",
    ),
    ("redirect to itself", sends(head(302, ("location", "/"), flags=LAST)), f"HTTP 302, {TOO_MANY_REDIRECTS}"),
)

GRPC_ONLY: tuple[tuple[str, Pieces, str], ...] = (
    ("empty DATA", flood(START + headers(OK_GRPC), frame(frames.DATA, 0, 1)), FRAMES),
    ("DATA of a byte", flood(START + headers(OK_GRPC), frame(frames.DATA, 0, 1, b"x")), FRAMES),
    ("a long message", flood(START + headers(OK_GRPC), frame(frames.DATA, 0, 1, bytes(9_000))), MALFORMED_GRPC),
    ("status of many digits", sends(headers(block((":status", "2" * 5_000)))), MALFORMED_GRPC),
    ("status in other digits", sends(headers(literal(b":status", "²²²".encode("latin-1")))), MALFORMED_GRPC),
    (
        "gRPC status of many digits",
        sends(head(200, GRPC_TYPE, ("grpc-status", "9" * 5_000), flags=LAST)),
        MALFORMED_GRPC,
    ),
    (grpc_status(99), sends(head(200, GRPC_TYPE, ("grpc-status", "99"), flags=LAST)), grpc_status(99)),
    ("a number without end", health(b"\0\0\0\0\x0c\x08" + b"\xff" * 11), MALFORMED_GRPC),
    ("a length of 4 GB", health(b"\0\xff\xff\xff\xff\x08\x01"), MALFORMED_GRPC),
)


def over_http2(rows: Iterable[tuple[str, Pieces, str]], name: str, rest: Mapping[str, Any]) -> Iterator[Peer]:
    """The rows as peers; the message of a time-out says how long it is."""
    for what, pieces, message in rows:
        more: dict[str, Any] = {"end": "close"} if what.startswith(("closes", "redirect to itself")) else {}
        if message.startswith("timed out"):
            more["timeout"] = float(message.split()[3])
        yield Peer(f"{name} {what}", pieces=pieces, message=message, **rest, **more)


def record(kind: int, content: bytes, length: int | None = None) -> bytes:
    """A record of TLS 1.2."""
    return bytes((kind, 3, 3)) + (len(content) if length is None else length).to_bytes(2, "big") + content


TLS = tuple(
    Peer(f"tls {name}", HTTPS, pieces, message, **rest)
    for name, pieces, message, rest in (
        ("silence", of(), timed_out(1, TLS_HANDSHAKE), {"timeout": 1.0}),
        ("closes at once", of(), handshake_failed("connection closed"), {"end": "close"}),
        ("plain HTTP", of(HEAD + b"\r\n"), handshake_failed(WRONG_VERSION), {}),
        ("random bytes", of(bytes(range(256)) * 64), handshake_failed(WRONG_VERSION), {}),
        ("an alert", of(record(21, b"\x02\x28")), handshake_failed("sslv3 alert handshake failure"), {}),
        ("warnings without end", flood(b"", record(21, b"\x01\x00")), handshake_failed("connection closed"), {}),
        ("empty records", flood(b"", record(22, b"")), handshake_failed(record_fault("record too small")), {}),
        (
            "a record beyond the limit",
            of(record(22, b"x", 0xFFFF)),
            handshake_failed(record_fault("packet length too long")),
            {},
        ),
        ("a record that never ends", of(record(22, b"x", 16_000)), timed_out(1, TLS_HANDSHAKE), {"timeout": 1.0}),
        (
            "a message of 16 MB",
            of(record(22, b"\x02\xff\xff\xff" + bytes(100))),
            handshake_failed("excessive message size"),
            {},
        ),
        (
            "the wrong message",
            of(record(22, b"\x0b\x00\x00\x03\x00\x00\x00")),
            handshake_failed("unexpected message"),
            {},
        ),
        ("hello requests", flood(b"", record(22, b"\x00\x00\x00\x00")), RESPONSE_TOO_LARGE, {}),
        ("application data", of(record(23, b"x")), handshake_failed("unexpected message"), {}),
        ("HTTP/1 head", of(HEAD), CLOSED_IN_HEADERS, {"tls": (), "end": "close"}),
        ("endless headers", flood(HEAD, b"A: b\r\n"), HEADERS_TOO_LARGE, {"tls": ()}),
        ("tiny chunks", flood(CHUNKED, b"1\r\nx\r\n"), TOO_MANY_CHUNKS, {"tls": ()}),
        ("tiny records", drip(HEAD + b"A: " + b"x" * 9_000), timed_out(1, WAITING), {"tls": (), "timeout": 1.0}),
        ("redirect to itself", redirects(b"/"), f"HTTP 302, {TOO_MANY_REDIRECTS}", {"tls": (), "end": "close"}),
    )
)

PEERS: tuple[Peer, ...] = (
    *HTTP1,
    *over_http2((*HTTP2, *HTTP2_ONLY), "http2", {"probe": HTTPS, "tls": ("h2",)}),
    *over_http2((*HTTP2, *GRPC_ONLY), "grpc", {"probe": GRPC}),
    *TLS,
)


@dataclass(slots=True)
class Peers:
    """Serves peers on loopback, each on a port of its own, until `close`."""

    folder: Path
    ip: str = "127.0.0.1"
    servers: list[asyncio.Server] = field(default_factory=list)

    async def serve(self, peer: Peer) -> int:
        """Start one; its port."""
        context = None
        if peer.tls is not None:
            context = server_context(self.folder, "hostile")
            if peer.tls:
                context.set_alpn_protocols(list(peer.tls))
        server = await asyncio.start_server(_Serving(peer), self.ip, ssl=context, backlog=512)
        self.servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Accept no more, and end all connections."""
        for server in self.servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Serving:
    peer: Peer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = self.peer
        with suppress(OSError, ssl.SSLError):
            await reader.read(65_536)
            for piece in peer.pieces(writer.get_extra_info("sockname")[1]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(peer.gap)
            if peer.end == "reset":
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            elif peer.end == "close" and not writer.can_write_eof():
                pass  # TLS has no half-closed connection
            else:
                if peer.end == "close":
                    writer.write_eof()  # a close would be a reset, where the client has sent more
                while await reader.read(65_536):
                    pass
        writer.transport.abort() if peer.end == "reset" else writer.close()

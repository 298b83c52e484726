"""The part of HTTP/2 (RFC 9113) that a probe needs: one request on stream 1, and a strict reader of its response.

The request's frames are made once for each target; of the response only stream 1 matters. Errors and ignored frames are
those of Go's client, or of gRPC's (docs/conformance.md, lines 6 and 18).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hpack import Decoder, Encoder, HPACKError, OversizedHeaderListError

from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import Malformed, Reading

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_LIMIT: Final = 16_384
HEADER_LIMIT: Final = 16_384
"""Bytes of all field sections of one connection as they are sent, and of each as it is decoded. hpack decodes a byte in
up to 0.6 us."""
MOST_FRAMES: Final = 1_000
"""Frames of one connection. A body of BODY_LIMIT in pieces of ten bytes still fits."""
MOST_IDLE_FRAMES: Final = 100
"""Frames of one connection without any part of the response: SETTINGS, PING, WINDOW_UPDATE, empty DATA and such."""
MOST_SETTINGS: Final = 100
"""Values of one SETTINGS frame: a handful are defined, and each takes time."""
MOST_SIZE_UPDATES: Final = 2
"""Changes of the table size that a field section may begin with (RFC 7541 4.2)."""
MOST_INTERIM: Final = 5
"""Interim responses (1xx) before the final one, as in Go's net/http."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM = 0, 1, 7

_ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_HEADER_LIST_SIZE = 2, 4, 6
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_RESPONSE_PSEUDO_FIELD = b":status"
_ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

Field = tuple[bytes, bytes]


class StreamReset(Malformed):
    """RST_STREAM with an error `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(message.stream_reset(_error(code)))
        self.code = code


class ConnectionEnded(Malformed):
    """GOAWAY with an error `code`; the server has not processed the request."""

    def __init__(self, code: int) -> None:
        super().__init__(message.connection_ended(_error(code)))
        self.code = code


class Headers(NamedTuple):
    """A field section: the response's head or its trailers, with `:status` at most once and before all others."""

    fields: list[Field]
    end: bool


class Data(NamedTuple):
    """A piece of the body."""

    payload: bytes
    end: bool


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def opening(fields: Iterable[Field], body: bytes | None = None) -> bytes:
    """All that the client sends: preface, settings, and the request on stream 1, with a body if it has one."""
    settings = b"".join(
        name.to_bytes(2, "big") + value.to_bytes(4, "big")
        for name, value in ((_ENABLE_PUSH, 0), (_MAX_HEADER_LIST_SIZE, HEADER_LIMIT))
    )
    block = Encoder().encode(fields, huffman=False)  # Huffman coding of 16 KB takes 20 ms
    end = END_STREAM if body is None else 0
    pieces = [block[at : at + FRAME_LIMIT] for at in range(0, len(block), FRAME_LIMIT)]
    frames = [PREFACE, frame(SETTINGS, 0, 0, settings)]
    for number, piece in enumerate(pieces):
        last = END_HEADERS if number == len(pieces) - 1 else 0
        frames.append(frame(CONTINUATION, last, 1, piece) if number else frame(HEADERS, end | last, 1, piece))
    if body is not None:
        frames.append(frame(DATA, END_STREAM, 1, body))
    return b"".join(frames)


@dataclass(slots=True, eq=False)
class Connection:
    """Sends `opening`, and reads the server's half. `grpc`: pushes, and data of streams never opened, are ignored."""

    _sending: bytes  # `opening`, then what the server is owed: acknowledged settings and pings
    grpc: bool = False
    _buffer: bytes = b""
    _at: int = 0  # where in the buffer the next frame begins
    _decoder: Decoder = field(default_factory=lambda: Decoder(max_header_list_size=HEADER_LIMIT))
    _block: bytes | None = None
    _stream: int = 0  # of `_block`
    _end: bool = False
    _settled: bool = False
    _frames: int = 0
    _idle_frames: int = 0
    _interim: int = 0
    _header_bytes: int = 0

    def event(self, phase: str) -> Reading[Headers | Data]:
        """The next event of stream 1. Raises Malformed, also when the connection ends."""
        while True:
            while (found := self._next_frame()) is None:
                sending, self._sending = self._sending, b""
                data = yield phase, sending
                if not data:
                    raise Malformed(message.CLOSED_IN_BODY if self._settled else message.CLOSED_WITHOUT_RESPONSE)
                self._buffer = self._buffer[self._at :] + data
                self._at = 0
            if (event := self._handle(*found)) is not None:
                return event

    def _next_frame(self) -> tuple[int, int, int, bytes] | None:
        buffer, at = self._buffer, self._at
        if not self._settled:
            self._expect_http2(buffer[at : at + 9])
        body = at + 9
        if len(buffer) < body:
            return None
        length = int.from_bytes(buffer[at : at + 3], "big")
        if length > FRAME_LIMIT:
            raise Malformed(message.malformed_http2("frame size"))
        if len(buffer) < body + length:
            return None
        self._at = body + length
        kind, flags = buffer[at + 3], buffer[at + 4]
        stream = int.from_bytes(buffer[at + 5 : body], "big") & 0x7FFF_FFFF
        brings = kind in (HEADERS, RST_STREAM) or (length and kind in (DATA, CONTINUATION))
        self._count(idle=stream != 1 or not brings)
        return kind, flags, stream, buffer[body : body + length]

    def _count(self, *, idle: bool) -> None:
        self._frames += 1
        self._idle_frames += idle
        if self._frames > MOST_FRAMES or self._idle_frames > MOST_IDLE_FRAMES:
            raise Malformed(message.TOO_MANY_FRAMES)

    @staticmethod
    def _expect_http2(begin: bytes) -> None:
        """`begin` is what there is of the first frame's head. A server speaks HTTP/2 from its first frame on: SETTINGS,
        of multiples of six bytes (RFC 9113 3.4).
        """
        if len(begin) >= 4 and (begin[3] != SETTINGS or int.from_bytes(begin[:3], "big") > FRAME_LIMIT):
            raise Malformed(message.NOT_HTTP2)

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> Headers | Data | None:
        if self._block is not None and (kind != CONTINUATION or stream != self._stream):
            raise Malformed(message.malformed_http2("headers interrupted"))
        if kind in (HEADERS, CONTINUATION):
            return self._handle_headers(kind, flags, stream, payload)
        if kind == DATA:
            if stream == 0 or (stream > 2 and not self.grpc):  # never opened
                raise Malformed(message.malformed_http2("stream"))
            unpadded = _unpadded(flags, payload)
            return Data(unpadded, bool(flags & END_STREAM)) if stream == 1 else None
        if kind == PUSH_PROMISE and stream and self.grpc:
            if len(_unpadded(flags, payload)) < 4:
                raise Malformed(message.malformed_http2("frame size"))
            return None
        if kind in (RST_STREAM, PRIORITY, PUSH_PROMISE, WINDOW_UPDATE):
            _check_stream_frame(kind, stream, payload)
        else:
            self._handle_connection(kind, flags, stream, payload)
        return None

    def _handle_headers(self, kind: int, flags: int, stream: int, payload: bytes) -> Headers | None:
        if stream == 0 or (kind == CONTINUATION and self._block is None):
            raise Malformed(message.malformed_http2("stream"))
        self._header_bytes += len(payload)
        if self._header_bytes > HEADER_LIMIT:
            raise Malformed(message.FIELDS_TOO_LARGE)
        if kind == HEADERS:
            payload = _unpadded(flags, payload)
            if flags & HAS_PRIORITY:
                if len(payload) < 5:
                    raise Malformed(message.malformed_http2("frame size"))
                payload = payload[5:]
            self._block, self._stream, self._end = b"", stream, bool(flags & END_STREAM)
        self._block = (self._block or b"") + payload
        return self._field_section(self._block) if flags & END_HEADERS else None

    def _field_section(self, block: bytes) -> Headers | None:
        """Those of other streams are decoded too: all share one compression table."""
        self._block = None
        if _size_updates(block) > MOST_SIZE_UPDATES:
            raise Malformed(message.malformed_http2("header compression"))
        try:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            raise Malformed(message.FIELDS_TOO_LARGE) from None
        except HPACKError:
            raise Malformed(message.malformed_http2("header compression")) from None
        if self._stream != 1:
            return None
        for place, (name, value) in enumerate(fields):
            valid = _NAME.fullmatch(name) or (place == 0 and name == _RESPONSE_PSEUDO_FIELD)
            if not valid or not _VALUE.fullmatch(value):
                raise Malformed(message.malformed_http2("header"))
        self._interim += bool(fields) and fields[0][0] == _RESPONSE_PSEUDO_FIELD and fields[0][1].startswith(b"1")
        if self._interim > MOST_INTERIM:
            raise Malformed(message.TOO_MANY_INTERIM)
        return Headers(fields, self._end)

    def _handle_connection(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS:
            odd = len(payload) % 6 or len(payload) > 6 * MOST_SETTINGS
            if stream or odd or (flags & ACK and payload) or _window(payload) >> 31:
                raise Malformed(message.malformed_http2("settings"))
            self._settled = True
            if not flags & ACK:
                self._sending += frame(SETTINGS, ACK, 0)
        elif kind == PING:
            if stream or len(payload) != 8:
                raise Malformed(message.malformed_http2("ping"))
            if not flags & ACK:
                self._sending += frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            if stream or len(payload) < 8:
                raise Malformed(message.malformed_http2("goaway"))
            if int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF < 1:
                raise ConnectionEnded(int.from_bytes(payload[4:8], "big"))


def _check_stream_frame(kind: int, stream: int, payload: bytes) -> None:
    """Raises Malformed for a frame without content for us that ends the exchange. Those of other streams do not."""
    if kind == PUSH_PROMISE or (stream == 0 and kind != WINDOW_UPDATE):
        raise Malformed(message.malformed_http2("stream"))
    if len(payload) != (5 if kind == PRIORITY else 4):
        raise Malformed(message.malformed_http2("frame size"))
    if kind == RST_STREAM and stream == 1:
        raise StreamReset(int.from_bytes(payload, "big"))
    if kind == WINDOW_UPDATE and stream < 2 and not int.from_bytes(payload, "big") & 0x7FFF_FFFF:
        raise Malformed(message.malformed_http2("window update"))


def _window(settings: bytes) -> int:
    """The largest SETTINGS_INITIAL_WINDOW_SIZE among them, or 0."""
    pairs = (settings[at : at + 6] for at in range(0, len(settings), 6))
    windows = [one[2:] for one in pairs if int.from_bytes(one[:2], "big") == _INITIAL_WINDOW_SIZE]
    return max((int.from_bytes(window, "big") for window in windows), default=0)


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Malformed(message.malformed_http2("padding"))
    return payload[1 : len(payload) - payload[0]]


def _size_updates(block: bytes) -> int:
    """Number of table size updates at the start of `block`, counted to one above the limit at most."""
    at = found = 0
    while found <= MOST_SIZE_UPDATES and block[at : at + 1] and block[at] & 0xE0 == 0x20:
        at += 1
        if block[at - 1] & 0x1F == 0x1F:
            while block[at : at + 1] and block[at] & 0x80:
                at += 1
            at += 1
        found += 1
    return found


def _error(code: int) -> str:
    return _ERRORS[code] if code < len(_ERRORS) else str(code)

"""The gRPC probe: grpc.health.v1.Health/Check in plaintext HTTP/2 (docs/conformance.md, lines 17 to 19).

The request goes out in one piece as soon as the connection stands. A refused port or a peer that speaks no HTTP/2 fails
at once, where the kubelet's client keeps trying until the time-out and then fails (ADR 4).
"""

from typing import Final

from external_service.core import GRPCAction
from probe_sidecar.probes import frames, message
from probe_sidecar.probes.exchange import Answer, Hop, socket_address
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.request import USER_AGENT
from probe_sidecar.probes.url import join_host

MESSAGE_LIMIT: Final = 4_096
"""Bytes of the answer's message; a health answer has two."""

_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING = 1


class GrpcExchange:
    """One unary call on stream 1; the verdict comes with its trailers."""

    __slots__ = ("_connection", "_head", "_message", "_opening", "phase")

    def __init__(self, opening: bytes) -> None:
        self._opening = opening
        self._connection = frames.Connection()
        self._head = False
        self._message = b""
        self.phase = message.WAITING

    def begin(self) -> bytes:
        """The whole call."""
        return self._opening

    def feed(self, data: bytes) -> Answer:
        """None until the trailers, unless a reply is due."""
        try:
            for event in self._connection.receive(data):
                outcome = self._take(event)
                if outcome is not None:
                    return outcome
        except frames.Broken as problem:
            return _fail(str(problem))
        replies, self._connection.replies = self._connection.replies, b""
        return replies or None

    def _take(self, event: frames.Headers | frames.Data) -> Outcome | None:
        if isinstance(event, frames.Data):
            self._message += event.payload
            if not self._head or event.end or len(self._message) > MESSAGE_LIMIT:
                return _fail("malformed gRPC answer")
            return None
        fields = dict(reversed(event.fields))
        if not self._head:
            status = fields.get(b":status", b"").decode("latin-1")
            if status.startswith("1") and not event.end:
                return None
            self._head = True
            refused = _refused_head(status, fields.get(b"content-type", b""))
            if refused is not None:
                return refused
        return self._judge(fields) if event.end else None

    def _judge(self, trailers: dict[bytes, bytes]) -> Outcome:
        code = trailers.get(b"grpc-status", b"")
        if not code.isdigit() or len(code) > 9:
            return _fail("malformed gRPC answer")
        if int(code):
            return _fail(f"gRPC status {_CODES[int(code)] if int(code) < len(_CODES) else int(code)}")
        health = health_status(self._message)
        if health is None:
            return _fail("malformed gRPC answer")
        said = _HEALTH[health] if 0 <= health < len(_HEALTH) else f"health status {health}"
        return Outcome(Result.SUCCESS if health == _SERVING else Result.FAILURE, said)


def hop(action: GRPCAction, ip: str, dial: str, timeout: int) -> Hop:
    """Connects to `dial`, asks for `ip`. `timeout` (seconds) is told to the server too, as gRPC does."""
    opening = frames.opening(_fields(join_host(ip, action.port), timeout), health_request(action.service))
    return Hop(socket_address(dial, action.port), lambda: GrpcExchange(opening))


def _fields(authority: str, timeout: int) -> list[frames.Field]:
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", authority.encode()),
        (b"content-type", b"application/grpc"),
        (b"user-agent", USER_AGENT.encode()),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"%dS" % timeout),
    ]


def health_request(service: str) -> bytes:
    """A HealthCheckRequest, length-prefixed: field 1, the service's name, absent if empty."""
    name = service.encode()
    body = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(body).to_bytes(4, "big") + body


def health_status(framed: bytes) -> int | None:
    """Field 1 of a length-prefixed HealthCheckResponse, 0 if absent; None if it is no single uncompressed message."""
    if len(framed) < 5 or framed[0] != 0 or int.from_bytes(framed[1:5], "big") != len(framed) - 5:
        return None
    at, status = 5, 0
    try:
        while at < len(framed):
            key, at = _read_varint(framed, at)
            if key == 0x08:
                status, at = _read_varint(framed, at)
            else:
                at = _skip(framed, at, key)
    except IndexError:
        return None
    return status if at == len(framed) else None


def _skip(data: bytes, at: int, key: int) -> int:
    """Past an unknown field's value. Raises IndexError for a wire type that cannot be skipped."""
    wire = key & 7
    if wire == 0:
        return _read_varint(data, at)[1]
    if wire == 2:
        length, at = _read_varint(data, at)
        return at + length
    if wire in (1, 5):
        return at + (8 if wire == 1 else 4)
    raise IndexError


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number & 0xFFFF_FFFF, at
        if shift > 63:
            raise IndexError


def _refused_head(status: str, content_type: bytes) -> Outcome | None:
    kind = content_type.partition(b";")[0].strip().lower()
    if status != "200":
        return _fail(f"HTTP {status} instead of a gRPC answer" if status.isdigit() else "malformed gRPC answer")
    if kind != b"application/grpc" and not kind.startswith(b"application/grpc+"):
        return _fail("not a gRPC answer")
    return None


def _fail(text: str) -> Outcome:
    return Outcome(Result.FAILURE, text)

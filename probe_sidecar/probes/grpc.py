"""The gRPC probe: grpc.health.v1.Health/Check over HTTP/2 (docs/conformance.md, lines 17 to 19).

The request is sent in one piece as soon as the connection is established. A refused port or a peer that speaks no
HTTP/2 fails at once, where the kubelet's client keeps trying until the time-out and then fails (ADR 4).
"""

import re
import ssl
from functools import partial
from typing import Final

from external_service.core import GRPCAction
from external_service.kind import host_port
from probe_sidecar.probes import frames, message, tls
from probe_sidecar.probes.exchange import FAILURE, SUCCESS, Hop, Malformed, Outcome, Reading, Step, socket_address
from probe_sidecar.probes.request import USER_AGENT
from probe_sidecar.probes.tls import Certificate

MESSAGE_LIMIT: Final = 4_096
"""Bytes of the response's message; a health response has two."""

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
_CONTENT_TYPE = re.compile(rb"application/grpc([+;].*)?")
_CODE = re.compile(rb"[+-]?0*[0-9]{1,9}")  # strconv.ParseInt
_HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING = 1


def read(opening: bytes, again: Hop | None = None) -> Reading[Step]:
    """One unary call on stream 1; the result comes with its trailers. `again` is where to repeat it, if anywhere."""
    connection = frames.Connection(opening, grpc=True)
    try:
        last, response = yield from _head(connection)
    except Malformed as problem:
        if again is None or not _unprocessed(problem):
            raise
        return again
    while not last.end:
        event = yield from connection.event(message.WAITING)
        if isinstance(event, frames.Headers):
            last = event
        else:
            response += event.payload
        if event.end == isinstance(event, frames.Data) or len(response) > MESSAGE_LIMIT:
            raise Malformed(message.MALFORMED_GRPC)
    return _judge(last.fields, response)


def _head(connection: frames.Connection) -> Reading[tuple[frames.Headers, bytes]]:
    """The head of the final response, and the data before it. With gRPC's content type, gRPC takes any HTTP status."""
    early = b""
    while True:
        head = yield from connection.event(message.WAITING)
        if isinstance(head, frames.Data):
            early += head.payload
            if head.end or len(early) > MESSAGE_LIMIT:
                raise Malformed(message.MALFORMED_GRPC)
            continue
        if any(name == b"content-type" and _CONTENT_TYPE.fullmatch(value) for name, value in head.fields):
            return head, early
        status = next((value for name, value in head.fields if name == b":status"), b"")
        if not status.isdigit() or len(status) != 3 or (status.startswith(b"1") and head.end):
            raise Malformed(message.MALFORMED_GRPC)
        if not status.startswith(b"1"):
            other = f"HTTP {int(status)} instead of a gRPC response"
            raise Malformed(message.NOT_GRPC if status == b"200" else other)


def _judge(trailers: list[frames.Field], response: bytes) -> Outcome:
    codes = [value for name, value in trailers if name == b"grpc-status"]
    if not codes or not all(_CODE.fullmatch(code) for code in codes):
        raise Malformed(message.MALFORMED_GRPC)
    if code := int(codes[-1]):
        raise Malformed(message.grpc_status(_CODES[code] if 0 < code < len(_CODES) else code))
    health = health_status(response)
    if health is None:
        raise Malformed(message.MALFORMED_GRPC)
    said = _HEALTH[health] if 0 <= health < len(_HEALTH) else f"health status {health}"
    return Outcome(SUCCESS if health == _SERVING else FAILURE, said)


def hop(
    action: GRPCAction,
    ip: str,
    dial: str,
    timeout: int,
    *,
    context: ssl.SSLContext | None = None,
    certificate: Certificate | None = None,
) -> Hop:
    """Connects to `dial`; the authority is `ip`. `timeout` (seconds) is sent to the server too, as gRPC does.

    `context` verifies where the action demands TLS; None: nothing is verified.
    """
    scheme = b"http" if action.tls is None else b"https"
    fields = _fields(scheme, host_port(ip, action.port), timeout)
    opening = frames.opening(fields, health_request(action.service))
    address = socket_address(dial, action.port)

    def opened(again: Hop | None) -> Hop:
        conversation = partial(read, opening, again)
        if action.tls is None:
            return Hop(address, conversation)
        name = action.tls.serverName or (ip if context is not None else None)
        return tls.hop(address, context or tls.unverified(), name, {"h2": conversation}, certificate)

    return opened(opened(None))


def _fields(scheme: bytes, authority: str, timeout: int) -> list[frames.Field]:
    return [
        (b":method", b"POST"),
        (b":scheme", scheme),
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
    """Field 1 of a length-prefixed HealthCheckResponse, 0 if absent; None if it is no single uncompressed message.

    Up to four bytes behind it, too few to be another message, are passed over, as gRPC does.
    """
    length = int.from_bytes(framed[1:5], "big")
    if len(framed) < 5 or framed[0] != 0 or not length + 5 <= len(framed) < length + 10:
        return None
    body, at, status = framed[5 : length + 5], 0, 0
    try:
        while at < len(body):
            key, at = _read_varint(body, at)
            if key == 0x08:
                status, at = _read_varint(body, at)
            else:
                at = _skip(body, at, key)
    except IndexError:
        return None
    return status if at == len(body) else None


def _skip(data: bytes, at: int, key: int) -> int:
    """Past an unknown field's value. Raises IndexError for field 0, and for a wire type that cannot be skipped."""
    wire = key & 7
    if not key >> 3:
        raise IndexError
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


def _unprocessed(problem: Malformed) -> bool:
    """Whether gRPC repeats the call: the server has not started to process it."""
    if isinstance(problem, frames.StreamReset):
        return problem.code == frames.REFUSED_STREAM
    return isinstance(problem, frames.ConnectionEnded)

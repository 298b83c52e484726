"""One HTTP/1 conversation: a fast path for the plain response, and a strict reader for everything else.

The grammar is that of Go's net/http, as in the kubelet (docs/conformance.md, lines 8, 12 to 14), with
deviation D1 (a body that stalls or ends short is a failure) and D9 (headers above 64 KiB are refused, Go takes 10 MiB).
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from external_service.core import HTTPGetAction
from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import Exchange, Hop, Malformed, Outcome, Reading, Result, Step
from probe_sidecar.probes.http import BODY_LIMIT, Search, judge
from probe_sidecar.probes.request import HttpRequest, first_request, http1_parts

HEAD_LIMIT: Final = 65_536
LINE_LIMIT: Final = 4_096
"""Of a chunk's size line and of the trailers, as in Go."""
MOST_INTERIM: Final = 5
"""Interim responses (1xx) before the final one, as in Go."""
MOST_FIELDS: Final = 256
"""Header lines of one head, or of the trailers: each takes a microsecond."""
MOST_CHUNKS: Final = 1_000
"""Chunks of one body. A body of BODY_LIMIT in pieces of ten bytes still fits."""

_PLAIN = re.compile(rb" [^\r\n]*+\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t \x21-\x7e\x80-\xff]*+\r\n)*+)\r\n")
_CONTENT_LENGTH = re.compile(rb"(?:\A|\n)content-length:[ \t]*([0-9]{1,18})[ \t]*\r")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z ]+):([\t \x21-\x7e\x80-\xff]*)")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_STATUS = re.compile(rb"\+?[0-9]+")
_LENGTH = re.compile(rb"0*([0-9]{1,19})")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LONGEST_BLANK_LINE: Final = len(b"\n\r\n")
_NO_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"trailer"})
_SUCCESS = {
    b"HTTP/1.1 %d" % status: Outcome(Result.SUCCESS, message.http(status))
    for status in range(200, 300)
    if status != 204  # it has no body, whatever it says of its length
}
_SHAPE_BEGINS: Final = len(b"HTTP/1.1 200")
_ZEROS = bytes.maketrans(b"123456789", b"000000000")


def quick(data: bytes) -> Outcome | None:
    """The outcome of a first piece that is a complete, plain 2xx response with a Content-Length; None for anything
    else.

    It accepts nothing that the strict reader would judge otherwise. A head's grammar does not depend on its digits, and
    servers vary little else, so each shape, with zeros for digits, is looked at once.
    """
    success = _SUCCESS.get(data[:_SHAPE_BEGINS])
    if success is None:
        return None
    end = data.find(b"\r\n\r\n") + 4
    shape = data[_SHAPE_BEGINS:end].translate(_ZEROS)
    digits = _shapes[shape] if shape in _shapes else _look(shape)
    if digits is None or len(data) - end < min(int(data[digits]), BODY_LIMIT):
        return None
    return success


MOST_SHAPES: Final = 256
LONGEST_SHAPE: Final = 2_048
_shapes: dict[bytes, slice | None] = {}
"""Of recent heads, without version and status: where the digits of the length are."""


def _look(shape: bytes) -> slice | None:
    """Position of the digits of Content-Length if `shape` is that of a plain head, else None; cached."""
    found = _plain_length(shape)
    if len(shape) <= LONGEST_SHAPE:
        if len(_shapes) >= MOST_SHAPES:
            _shapes.clear()
        _shapes[shape] = found
    return found


def _plain_length(shape: bytes) -> slice | None:
    """The pattern is the strict grammar of a head, less continuation lines, bare line feeds and spaces in names."""
    head = _PLAIN.fullmatch(shape)
    if head is None:
        return None
    fields = head[1].lower()
    length = _CONTENT_LENGTH.search(fields)
    odd = fields.count(b"content-length") != 1 or b"transfer-encoding" in fields or fields.count(b"\n") > MOST_FIELDS
    if length is None or odd:
        return None
    before = _SHAPE_BEGINS + head.start(1)
    return slice(before + length.start(1), before + length.end(1))


Again = tuple[HTTPGetAction, str, str]
"""Arguments of `first_request`."""


class Asked:
    """One request, sent again and again; a FastPath where the first piece of a plain response is sufficient.

    `hop` leads to the request of a redirect. It holds the bytes to send, of which it shares the headers with other
    targets, and with `again` it makes the request again for the few responses that need it: the requests of 10,000
    targets would take 4 MB. `plain`: every ordinary 2xx response is a success.
    """

    __slots__ = ("_parts", "_request", "hop", "plain")

    phase = message.WAITING

    def __init__(self, request: HttpRequest, hop: Callable[[HttpRequest], Hop], again: Again | None = None) -> None:
        self._parts = http1_parts(request)
        self._request = again or request
        self.hop = hop
        expects = request.action.expectedStatuses or request.action.bodyContains
        self.plain = not expects and not request.redirects

    def begin(self) -> bytes:
        """The whole request."""
        first, headers = self._parts
        return first + headers

    def feed(self, data: bytes) -> "Step | Exchange":
        """See FastPath."""
        return quick(data) or self._go_on(data)

    def _go_on(self, data: bytes) -> "Step | Exchange":
        exchange = Exchange(_response(self, data))
        step = exchange.begin()
        return exchange if step is None else step

    def read(self) -> Reading[Step]:
        """The conversation where the FastPath will not do: over TLS, or with expectations of the response."""
        data = yield message.WAITING, self.begin()
        return (self.plain and quick(data)) or (yield from _response(self, data))

    def request(self) -> HttpRequest:
        """Request from which the bytes were made."""
        return first_request(*self._request) if isinstance(self._request, tuple) else self._request


def _response(asked: Asked, data: bytes) -> Reading[Step]:
    """The strict reader: evaluates the response that begins with `data`, and as much of its body as counts."""
    if not data:
        raise Malformed(message.CLOSED_WITHOUT_RESPONSE)
    buffer = bytearray(data)
    head = yield from _final_head(buffer)
    plan = judge(asked.request(), head.status, head.location, head.encoding)
    search = Search(plan.text)
    if plan.limit == 0 or (plan.lenient and (head.length or 0) > plan.limit):
        return plan.end(asked.hop, found=True)
    body = (
        _chunked_body(buffer, plan.limit, search)
        if head.chunked
        else _plain_body(buffer, plan.limit, head.length, search)
    )
    try:
        yield from body
    except Malformed:
        if not plan.lenient:
            raise
    return plan.end(asked.hop, found=search.found)


class Head(NamedTuple):
    """Head of a final response. `length` is None where the body runs to the end of the connection or is chunked."""

    status: int
    location: str
    encoding: str
    length: int | None
    chunked: bool


def _final_head(buffer: bytearray) -> Reading[Head]:
    """Takes the head off `buffer`, and the interim responses (1xx) before it."""
    taken = 0
    for _ in range(MOST_INTERIM + 1):
        end, begin = yield from _blank_line(buffer, taken)
        head = _parse_head(bytes(buffer[:end]))
        del buffer[:begin]
        taken += begin
        if not 100 <= head.status < 200 or head.status == 101:
            return head
    raise Malformed(message.TOO_MANY_INTERIM)


def _blank_line(buffer: bytearray, taken: int) -> Reading[tuple[int, int]]:
    """Begin and end of the blank line behind a head. Bytes searched before are not searched again."""
    searched = status_line = 0
    while True:
        if not buffer[:5] == b"HTTP/"[: len(buffer)]:
            raise Malformed(message.NOT_HTTP)
        if not status_line and (status_line := buffer.find(b"\n", searched) + 1):
            _parse_status_line(bytes(buffer[: status_line - 1]))
        found = _BLANK_LINE.search(buffer, searched)
        if taken + (found.end() if found else len(buffer)) > HEAD_LIMIT:
            raise Malformed(message.HEADERS_TOO_LARGE)
        if found:
            return found.span()
        searched = max(0, len(buffer) - _LONGEST_BLANK_LINE + 1)
        yield from _more(buffer, message.WAITING, message.CLOSED_IN_HEADERS)


def _more(buffer: bytearray, phase: str = message.READING_BODY, ended: str = message.CLOSED_IN_BODY) -> Reading[None]:
    data = yield phase, b""
    if not data:
        raise Malformed(ended)
    buffer += data


def _plain_body(buffer: bytearray, limit: int, length: int | None, search: Search) -> Reading[None]:
    """A body of known length, or one that runs until the connection ends."""
    missing = limit if length is None else min(length, limit)
    data = bytes(buffer)
    while True:
        search.feed(data[:missing])
        missing -= len(data)
        if missing <= 0:
            return
        data = yield message.READING_BODY, b""
        if not data and length is None:
            return
        if not data:
            raise Malformed(message.CLOSED_IN_BODY)


def _chunked_body(buffer: bytearray, limit: int, search: Search) -> Reading[None]:
    """A body with Transfer-Encoding: chunked, and Go's limits on lines and on overhead."""
    excess = 0
    for _ in range(MOST_CHUNKS):
        line = yield from _until(buffer, b"\n", "chunk")
        size = _chunk_size(line)
        # As in Go: 16 bytes of overhead a chunk and twice its data are free, more than 16 KiB beyond that is abuse.
        excess = max(0, excess + len(line) + 1 - 16 - 2 * size)
        if excess > 16_384:
            raise Malformed(message.malformed_http("chunk"))
        if not size:
            yield from _trailers(buffer)
            return
        while size:
            piece = bytes(buffer[:size])
            del buffer[:size]
            search.feed(piece[:limit])
            size -= len(piece)
            limit -= len(piece)
            if limit <= 0:
                return
            if size:
                yield from _more(buffer)
        if not (yield from _takes_line_end(buffer)):
            raise Malformed(message.malformed_http("chunk"))
    raise Malformed(message.TOO_MANY_CHUNKS)


def _trailers(buffer: bytearray) -> Reading[None]:
    if not (yield from _takes_line_end(buffer)):
        _parse_fields((yield from _until(buffer, b"\r\n\r\n", "trailer")), "trailer")


def _takes_line_end(buffer: bytearray) -> Reading[bool]:
    """Whether `buffer` begins with a line end, which is taken off."""
    while len(buffer) < 2:
        yield from _more(buffer)
    found = buffer.startswith(b"\r\n")
    if found:
        del buffer[:2]
    return found


def _until(buffer: bytearray, end: bytes, part: str) -> Reading[bytes]:
    """Takes what comes before `end` off `buffer`, and `end` with it."""
    while (found := buffer.find(end)) < 0 and len(buffer) <= LINE_LIMIT:
        yield from _more(buffer)
    if not 0 <= found <= LINE_LIMIT:
        raise Malformed(message.malformed_http(part))
    line = bytes(buffer[:found])
    del buffer[: found + len(end)]
    return line


def _parse_head(block: bytes) -> Head:
    line, _, fields = block.partition(b"\n")
    return _framing(line, _parse_status_line(line), _parse_fields(fields, "header"))


def _parse_status_line(line: bytes) -> int:
    version, space, rest = line.removesuffix(b"\r").partition(b" ")
    code = rest.lstrip(b" ").partition(b" ")[0]
    if not space or len(code) != 3 or not _STATUS.fullmatch(code) or not _VERSION.fullmatch(version):
        raise Malformed(message.malformed_http("status line"))
    return int(code)


def _parse_fields(block: bytes, part: str) -> list[tuple[bytes, bytes]]:
    """Lower-case names and trimmed values. A line that begins with space continues the one before, a blank one too."""
    if block.count(b"\n") >= MOST_FIELDS:
        raise Malformed(message.TOO_MANY_HEADERS)
    lines: list[bytes] = []
    for raw in block.split(b"\n") if block else []:
        line = raw.removesuffix(b"\r")
        if line[:1] not in (b" ", b"\t"):
            lines.append(line.rstrip(b" \t"))
        elif lines and b":" in lines[-1]:
            lines[-1] += b" " + line.strip(b" \t")
        else:
            raise Malformed(message.malformed_http(part))
    return [_parse_field(line, part) for line in lines]


def _parse_field(line: bytes, part: str) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise Malformed(message.malformed_http(part))
    return found[1].lower(), found[2].lstrip(b" \t")


def _framing(line: bytes, status: int, fields: list[tuple[bytes, bytes]]) -> Head:
    """RFC 9112 6.3 as Go applies it: chunked overrides Content-Length, HTTP/1.0 has no Transfer-Encoding."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    encodings = values.get(b"transfer-encoding", [])
    chunked = bool(encodings) and not line.startswith((b"HTTP/1.0", b"HTTP/0"))
    if chunked and (len(encodings) != 1 or encodings[0].lower() != b"chunked"):
        raise Malformed(message.malformed_http("Transfer-Encoding"))
    announced = {name.strip().lower() for value in values.get(b"trailer", []) for name in value.split(b",")}
    if chunked and announced & _NO_TRAILERS:
        raise Malformed(message.malformed_http("trailer"))
    length = _content_length([value.strip() for value in values.get(b"content-length", [])])
    location = values.get(b"location", [b""])[0].decode("latin-1")
    encoding = values.get(b"content-encoding", [b""])[-1].decode("latin-1")
    if status in (204, 304):
        return Head(status, location, encoding, length=0, chunked=False)
    return Head(status, location, encoding, length=None if chunked else length, chunked=chunked)


def _content_length(values: list[bytes]) -> int | None:
    if not values:
        return None
    found = _LENGTH.fullmatch(values[0])
    if len(set(values)) != 1 or found is None or int(found[1]) >= 1 << 63:
        raise Malformed(message.malformed_http("Content-Length"))
    return int(found[1])


def _chunk_size(line: bytes) -> int:
    size = line.removesuffix(b"\r").rstrip(b" \t").partition(b";")[0]
    if not line.endswith(b"\r") or b"\r" in line[:-1] or not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
        raise Malformed(message.malformed_http("chunk"))
    return int(size, 16)

"""One HTTP/1 conversation: a fast path for the plain response, and a strict reader for everything else.

The grammar is that of Go's net/http, as in the kubelet (docs/conformance.md, lines 8, 12 to 14), with
deviation D1 (a body that stalls or ends short is a failure) and D9 (headers above 64 KiB are refused, Go takes 10 MiB).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from external_service.core import HTTPGetAction
from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import Exchange, Hop, Step
from probe_sidecar.probes.http import BODY_LIMIT, Plan, Search, judge
from probe_sidecar.probes.outcome import Outcome, Result
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


class Malformed(Exception):
    """The response violates the grammar; the text is what the user reads."""


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


_NOTHING = Search(b"")


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
        self.plain = request.expects.plain and not request.redirects

    def begin(self) -> bytes:
        """The whole request."""
        first, headers = self._parts
        return first + headers

    def feed(self, data: bytes) -> "Step | Exchange":
        """See FastPath."""
        return quick(data) or self._go_on(data)

    def _go_on(self, data: bytes) -> "Step | Exchange":
        exchange = Http1Exchange(self)
        step = exchange.read(data)
        return exchange if step is None else step

    def request(self) -> HttpRequest:
        """Request from which the bytes were made."""
        return first_request(*self._request) if isinstance(self._request, tuple) else self._request


@dataclass(slots=True, eq=False)
class Http1Exchange:
    """Sends the request and evaluates the response."""

    _asked: Asked
    _head: "HeadReader | None" = None
    _plan: Plan | None = None
    _body: "PlainBody | ChunkedBody | None" = None
    _search: Search = _NOTHING  # a plain response, as most are, is never searched
    phase: str = message.WAITING

    def begin(self) -> bytes:
        """The whole request."""
        return self._asked.begin()

    def feed(self, data: bytes) -> Step:
        """None until the head and as much of the body as counts have arrived."""
        if self._head is None and self._asked.plain and (settled := quick(data)):
            return settled
        return self.read(data)

    def read(self, data: bytes) -> Step:
        """The same by the strict reader alone, for a first piece at which `quick` has looked already."""
        if self._head is None:
            self._head = HeadReader()
        try:
            return self._read(self._head, data)
        except Malformed as problem:
            return Outcome(Result.FAILURE, str(problem))

    def _read(self, reader: "HeadReader", data: bytes) -> Step:
        if self._plan is None:
            head = reader.feed(data)
            if head is None:
                return None
            self._plan = judge(self._asked.request(), head.status, head.location, head.encoding)
            if self._plan.limit == 0 or (self._plan.lenient and (head.length or 0) > self._plan.limit):
                return self._done(self._plan)
            self._search = Search(self._plan.text)
            self._body = head.body(self._plan.limit, self._search.feed)
            self.phase = message.READING_BODY
            data = reader.rest
            if not data and not self._body.complete:
                return None
        return self._read_body(self._plan, data)

    def _read_body(self, plan: Plan, data: bytes) -> Step:
        assert self._body is not None  # noqa: S101 - set together with the plan
        try:
            complete = self._body.complete or self._body.feed(data)
        except Malformed:
            if not plan.lenient:
                raise
            complete = True
        return self._done(plan) if complete else None

    def _done(self, plan: Plan) -> Step:
        then = plan.end(found=self._search.found)
        return then if isinstance(then, Outcome) else self._asked.hop(then)


@dataclass(frozen=True, slots=True)
class Head:
    """Head of a final response. `length` is None where the body runs to the end of the connection or is chunked."""

    status: int
    location: str
    encoding: str
    length: int | None
    chunked: bool

    def body(self, limit: int, keep: "Keep") -> "PlainBody | ChunkedBody":
        """The reader of the body that follows."""
        return ChunkedBody(limit, keep) if self.chunked else PlainBody(self.length, limit, keep)


@dataclass(slots=True, eq=False)
class HeadReader:
    """Collects the head, skipping interim 1xx responses; `rest` is what came behind it."""

    rest: bytes = b""
    _buffer: bytearray = field(default_factory=bytearray)
    _read: int = 0
    _interim: int = 0
    _status_line: int = 0  # where it ends; 0 until it has been read
    _searched: int = 0  # no blank line begins before here

    def feed(self, data: bytes) -> Head | None:
        """None until the head is whole. Raises Malformed, also for an end that comes too soon."""
        if not data:
            raise Malformed(self._ended())
        self._buffer += data
        while (end := self._end_of_head()) is not None:
            block, self._read = bytes(self._buffer[: end[0]]), self._read + end[1]
            del self._buffer[: end[1]]
            self._status_line = self._searched = 0
            head = _parse_head(block)
            if not 100 <= head.status < 200 or head.status == 101:
                self.rest = bytes(self._buffer)
                return head
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise Malformed(message.TOO_MANY_INTERIM)
        return None

    def _end_of_head(self) -> tuple[int, int] | None:
        """End of the head and of the blank line after it. Bytes searched before are not searched again."""
        buffer = self._buffer
        if not buffer[:5] == b"HTTP/"[: len(buffer)]:
            raise Malformed(message.NOT_HTTP)
        if not self._status_line:
            self._status_line = buffer.find(b"\n", self._searched) + 1
            if self._status_line:
                _parse_status_line(bytes(buffer[: self._status_line - 1]))
        found = _BLANK_LINE.search(buffer, self._searched)
        if self._read + (found.end() if found else len(buffer)) > HEAD_LIMIT:
            raise Malformed(message.HEADERS_TOO_LARGE)
        if found:
            return found.span()
        self._searched = max(0, len(buffer) - _LONGEST_BLANK_LINE + 1)
        return None

    def _ended(self) -> str:
        return message.CLOSED_IN_HEADERS if self._buffer or self._read else message.CLOSED_WITHOUT_RESPONSE


Keep = Callable[[bytes], None]


class PlainBody:
    """A body of known length, or one that runs until the connection ends.

    It counts the bytes up to a limit and shows them to `keep`; `complete` once nothing more is awaited.
    """

    __slots__ = ("_ends_with_connection", "_keep", "_missing", "complete")

    def __init__(self, length: int | None, limit: int, keep: Keep) -> None:
        self._keep = keep
        self._ends_with_connection = length is None
        self._missing = limit if length is None else min(length, limit)
        self.complete = self._missing == 0

    def feed(self, data: bytes) -> bool:
        """Take more (empty: the peer has finished), return `complete`. Raises Malformed."""
        if not data and not self._ends_with_connection:
            raise Malformed(message.CLOSED_IN_BODY)
        self._keep(data[: self._missing])
        self._missing -= len(data)
        self.complete = self._missing <= 0 or not data
        return self.complete


class ChunkedBody:
    """As PlainBody, with Transfer-Encoding: chunked, and Go's limits on lines and on overhead."""

    __slots__ = ("_buffer", "_chunk", "_chunks", "_excess", "_keep", "_missing", "_state", "complete")

    def __init__(self, limit: int, keep: Keep) -> None:
        self._keep = keep
        self._buffer = bytearray()
        self._missing = limit
        self._chunk = self._chunks = 0
        self._excess = 0
        self._state = ChunkedBody._size_line
        self.complete = False

    def feed(self, data: bytes) -> bool:
        """See PlainBody."""
        if not data:
            raise Malformed(message.CLOSED_IN_BODY)
        self._buffer += data
        while not self.complete and self._state(self):
            pass
        return self.complete

    def _size_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end > LINE_LIMIT or (end < 0 and len(self._buffer) > LINE_LIMIT):
            raise Malformed(message.malformed_http("chunk"))
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._chunk = _chunk_size(line)
        self._chunks += 1
        if self._chunks > MOST_CHUNKS:
            raise Malformed(message.TOO_MANY_CHUNKS)
        # As in Go: 16 bytes of overhead a chunk and twice its data are free, more than 16 KiB beyond that is abuse.
        self._excess = max(0, self._excess + len(line) + 1 - 16 - 2 * self._chunk)
        if self._excess > 16_384:
            raise Malformed(message.malformed_http("chunk"))
        self._state = ChunkedBody._data if self._chunk else ChunkedBody._trailers
        return True

    def _data(self) -> bool:
        taken = min(len(self._buffer), self._chunk)
        self._keep(bytes(self._buffer[: min(taken, self._missing)]))
        del self._buffer[:taken]
        self._chunk -= taken
        self._missing -= taken
        self.complete = self._missing <= 0
        if self._chunk:
            return False
        self._state = ChunkedBody._data_end
        return True

    def _data_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if not self._buffer.startswith(b"\r\n"):
            raise Malformed(message.malformed_http("chunk"))
        del self._buffer[:2]
        self._state = ChunkedBody._size_line
        return True

    def _trailers(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if not self._buffer.startswith(b"\r\n"):
            end = self._buffer.find(b"\r\n\r\n")
            if end > LINE_LIMIT or (end < 0 and len(self._buffer) > LINE_LIMIT):
                raise Malformed(message.malformed_http("trailer"))
            if end < 0:
                return False
            _parse_fields(bytes(self._buffer[:end]), "trailer")
        self.complete = True
        return True


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
    size = line.removesuffix(b"\r").partition(b";")[0].rstrip(b" \t")
    if not line.endswith(b"\r") or b"\r" in line[:-1] or not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
        raise Malformed(message.malformed_http("chunk"))
    return int(size, 16)

"""An HTTP probe over HTTP/2, if a TLS server chose it (docs/conformance.md, line 6); the rules are those of HTTP/1."""

from collections.abc import Callable

from probe_sidecar.probes import frames, message
from probe_sidecar.probes.exchange import Answer, Hop
from probe_sidecar.probes.expectation import Search
from probe_sidecar.probes.http import Plan, judge
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.request import HttpRequest, http2


class Http2Exchange:
    """One GET on stream 1. Deviation D1 holds here too: a body that stalls or is cut short is a failure."""

    __slots__ = ("_connection", "_hop", "_left", "_missing", "_plan", "_request", "_search", "phase")

    def __init__(self, request: HttpRequest, hop: Callable[[HttpRequest], Hop]) -> None:
        self._request = request
        self._hop = hop
        self._connection = frames.Connection()
        self._plan: Plan | None = None
        self._search = Search(b"")
        self._missing = 0
        self._left: int | None = None
        self.phase = message.WAITING

    def begin(self) -> bytes:
        """Preface, settings and request in one piece, as RFC 9113 3.4 allows."""
        return frames.opening(http2(self._request))

    def feed(self, data: bytes) -> Answer:
        """None until the head and as much of the body as counts have arrived, unless a reply is due."""
        try:
            for event in self._connection.receive(data):
                answer = self._take(event)
                if answer is not None:
                    return answer
        except frames.Broken as problem:
            if self._plan is not None and self._plan.lenient:
                return self._done(self._plan)
            return Outcome(Result.FAILURE, str(problem))
        replies, self._connection.replies = self._connection.replies, b""
        return replies or None

    def _take(self, event: frames.Headers | frames.Data) -> Answer:
        if self._plan is None:
            if isinstance(event, frames.Data):
                raise frames.Broken(message.malformed_http2("data before headers"))
            self._plan = plan = self._read_head(event)
            if plan is None:
                return None
            self._missing = plan.limit
            self._search = Search(plan.text)
            self.phase = message.READING_BODY
            too_long = plan.lenient and (self._left or 0) > plan.limit
            return self._done(plan) if event.end or plan.limit == 0 or too_long else None
        if isinstance(event, frames.Data):
            self._search.feed(event.payload[: max(self._missing, 0)])
            self._count(len(event.payload))
        if self._missing > 0 and event.end and self._left:
            raise frames.Broken(message.CLOSED_IN_BODY)
        return self._done(self._plan) if event.end or self._missing <= 0 else None

    def _read_head(self, event: frames.Headers) -> Plan | None:
        """The plan for a final status; None for an interim one."""
        fields = dict(reversed(event.fields))
        code = fields.get(b":status", b"")
        if len(code) != 3 or not code.isdigit():
            raise frames.Broken(message.malformed_http2("status"))
        if 100 <= int(code) < 200:
            if event.end:
                raise frames.Broken(message.malformed_http2("status"))
            return None
        length = fields.get(b"content-length", b"")
        self._left = int(length) if length.isdigit() and len(length) < 19 and code not in (b"204", b"304") else None
        return judge(self._request, int(code), fields.get(b"location", b"").decode("latin-1"))

    def _count(self, size: int) -> None:
        self._missing -= size
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise frames.Broken(message.malformed_http2("longer than its content-length"))

    def _done(self, plan: Plan) -> Answer:
        then = plan.end(found=self._search.found)
        return then if isinstance(then, Outcome) else self._hop(then)

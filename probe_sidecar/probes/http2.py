"""An HTTP probe over HTTP/2: a TLS server chose it (docs/conformance.md, line 6), or the probe demands it without TLS.

The rules are those of HTTP/1.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from probe_sidecar.probes import frames, message
from probe_sidecar.probes.exchange import Hop, Step
from probe_sidecar.probes.http import Plan, Search, judge
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.request import HttpRequest, http2

MAX_RETRIES: Final = 5
"""On connections of their own, for a request that the server did not process; Go's client retries until the timeout."""

_STATUS = re.compile(rb"\+?[0-9]{1,9}")  # strconv.Atoi


@dataclass(slots=True, eq=False)
class Http2Exchange:
    """One request on stream 1. Deviation D1 holds here too: a body that stalls or is cut short is a failure."""

    _request: HttpRequest
    _hop: Callable[[HttpRequest], Hop]
    phase: str = message.WAITING
    _connection: frames.Connection = field(default_factory=frames.Connection)
    _plan: Plan | None = None
    _search: Search = field(default_factory=lambda: Search(b""))
    _missing: int = 0
    _left: int | None = None

    def begin(self) -> bytes:
        """Preface, settings and request in one piece, as RFC 9113 3.4 allows."""
        return frames.opening(http2(self._request))

    def feed(self, data: bytes) -> Step:
        """None until the head and as much of the body as counts have arrived, unless a reply is due."""
        try:
            for event in self._connection.receive(data):
                step = self._take(event)
                if step is not None:
                    return step
        except frames.Broken as problem:
            if self._plan is not None and self._plan.lenient:
                return self._done(self._plan)
            if self._plan is None and _unprocessed(problem) and self._request.retries < MAX_RETRIES:
                return self._hop(replace(self._request, retries=self._request.retries + 1))
            return Outcome(Result.FAILURE, str(problem))
        replies, self._connection.replies = self._connection.replies, b""
        return replies or None

    def _take(self, event: frames.Headers | frames.Data) -> Step:
        if self._plan is None:
            return self._begin_body(event)
        if isinstance(event, frames.Data):
            self._search.feed(event.payload[: max(self._missing, 0)])
            self._count(len(event.payload))
        elif not event.end or (event.fields and event.fields[0][0].startswith(b":")):
            raise frames.Broken(message.malformed_http2("trailers"))
        return self._progress(self._plan, end=event.end)

    def _begin_body(self, event: frames.Headers | frames.Data) -> Step:
        if isinstance(event, frames.Data):
            raise frames.Broken(message.malformed_http2(message.DATA_FIRST))
        self._plan = plan = self._read_head(event)
        if plan is None:
            return None
        self._missing = plan.limit
        self._search = Search(plan.text)
        self.phase = message.READING_BODY
        if plan.lenient and (self._left or 0) > plan.limit:
            return self._done(plan)
        return self._progress(plan, end=event.end)

    def _progress(self, plan: Plan, *, end: bool) -> Step:
        if end and self._missing > 0 and self._left:
            raise frames.Broken(message.CLOSED_IN_BODY)
        return self._done(plan) if end or self._missing <= 0 else None

    def _read_head(self, event: frames.Headers) -> Plan | None:
        """The plan for a final status; None for an interim one."""
        fields = dict(reversed(event.fields))
        code = fields.get(b":status", b"")
        if not _STATUS.fullmatch(code):
            raise frames.Broken(message.malformed_http2("status"))
        status = int(code)
        if 100 <= status < 200:
            if event.end:
                raise frames.Broken(message.malformed_http2("status"))
            return None
        lengths = [value for name, value in event.fields if name == b"content-length"]
        counts = len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) < 19 and status not in (204, 304)
        self._left = int(lengths[0]) if counts else None
        location, encoding = (fields.get(name, b"").decode("latin-1") for name in (b"location", b"content-encoding"))
        return judge(self._request, status, location, encoding)

    def _count(self, size: int) -> None:
        self._missing -= size
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise frames.Broken(message.malformed_http2(message.BODY_TOO_LONG))

    def _done(self, plan: Plan) -> Step:
        then = plan.end(found=self._search.found)
        return then if isinstance(then, Outcome) else self._hop(then)


def _unprocessed(problem: frames.Broken) -> bool:
    """Whether Go's client sends the request again. Servers that shut down refuse so what they get meanwhile."""
    if isinstance(problem, frames.StreamReset):
        return problem.code in (frames.PROTOCOL_ERROR, frames.REFUSED_STREAM)
    return isinstance(problem, frames.ConnectionEnded) and problem.code == frames.NO_ERROR

"""An HTTP probe over HTTP/2: a TLS server chose it (docs/conformance.md, line 6), or the probe demands it without TLS.

The rules are those of HTTP/1.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from probe_sidecar.probes import frames, message
from probe_sidecar.probes.exchange import Hop, Malformed, Reading, Step
from probe_sidecar.probes.http import Search, judge
from probe_sidecar.probes.request import HttpRequest, http2

MAX_RETRIES: Final = 5
"""On connections of their own, for a request that the server did not process; Go's client retries until the timeout."""

_STATUS = re.compile(rb"\+?[0-9]{1,9}")  # strconv.Atoi


def read(request: HttpRequest, hop: Callable[[HttpRequest], Hop]) -> Reading[Step]:
    """One request on stream 1. Deviation D1 holds here too: a body that stalls or is cut short is a failure."""
    connection = frames.Connection(frames.opening(http2(request)))
    try:
        head, status = yield from _final_head(connection)
    except Malformed as problem:
        if not _unprocessed(problem) or request.retries == MAX_RETRIES:
            raise
        return hop(replace(request, retries=request.retries + 1))
    fields = dict(reversed(head.fields))
    location, encoding = (fields.get(name, b"").decode("latin-1") for name in (b"location", b"content-encoding"))
    plan = judge(request, status, location, encoding)
    length = None if status in (204, 304) else _length(head)
    search = Search(plan.text)
    try:
        if not plan.lenient or (length or 0) <= plan.limit:
            yield from _body(connection, plan.limit, length, search, end=head.end)
    except Malformed:
        if not plan.lenient:
            raise
    return plan.end(hop, found=search.found)


def _final_head(connection: frames.Connection) -> Reading[tuple[frames.Headers, int]]:
    """The head of the final response, and its status."""
    while True:
        head = yield from connection.event(message.WAITING)
        if isinstance(head, frames.Data):
            raise Malformed(message.malformed_http2(message.DATA_FIRST))
        code = next((value for name, value in head.fields if name == b":status"), b"")
        interim = _STATUS.fullmatch(code) and 100 <= int(code) < 200
        if not _STATUS.fullmatch(code) or (interim and head.end):
            raise Malformed(message.malformed_http2("status"))
        if not interim:
            return head, int(code)


def _length(head: frames.Headers) -> int | None:
    """The content-length, if it is one."""
    lengths = [value for name, value in head.fields if name == b"content-length"]
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) < 19 else None


def _body(connection: frames.Connection, limit: int, length: int | None, search: Search, *, end: bool) -> Reading[None]:
    """As much of the body as counts. `end`: the head was the whole response."""
    received = 0
    while received < limit and not end:
        event = yield from connection.event(message.READING_BODY)
        end = event.end
        if isinstance(event, frames.Data):
            search.feed(event.payload[: limit - received])
            received += len(event.payload)
            if length is not None and received > length:
                raise Malformed(message.malformed_http2(message.BODY_TOO_LONG))
        elif not end or (event.fields and event.fields[0][0].startswith(b":")):
            raise Malformed(message.malformed_http2("trailers"))
    if received < min(limit, length or 0):
        raise Malformed(message.CLOSED_IN_BODY)


def _unprocessed(problem: Malformed) -> bool:
    """Whether Go's client sends the request again. Servers that shut down refuse so what they get meanwhile."""
    if isinstance(problem, frames.StreamReset):
        return problem.code in (frames.PROTOCOL_ERROR, frames.REFUSED_STREAM)
    return isinstance(problem, frames.ConnectionEnded) and problem.code == frames.NO_ERROR

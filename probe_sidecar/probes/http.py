"""Evaluates an HTTP response and follows redirects, for HTTP/1.1 and HTTP/2 (docs/conformance.md, lines 8 to 12, 15).

The connection always goes to the probed address (deviation D8): the URL's host is the address, `httpGet.host` is a Host
header, so only a redirect to the address itself or a relative one is followed, over any port and scheme (ADR 4).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from probe_sidecar.probes import message, url
from probe_sidecar.probes.exchange import Hop, Outcome, Result
from probe_sidecar.probes.request import HttpRequest, redirected

BODY_LIMIT: Final = 10_240
"""Bytes of a body that are read; then the response counts as complete (line 12)."""
SLURP_LIMIT: Final = 2_048
"""Of a redirect's body so much is awaited before following it, as Go's client does; a longer one not at all."""
MAX_REDIRECTS: Final = 9
LOCATION_LIMIT: Final = 8_192
"""Characters of a Location: the work of resolving one grows with the square of its length."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Search:
    """Looks for a text in a body that comes in pieces, and keeps no more of it than the text is long."""

    __slots__ = ("_tail", "_text", "found")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._tail = b""
        self.found = not text

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if not self.found:
            window = self._tail + data
            self.found = self._text in window
            self._tail = window[-(len(self._text) - 1) :] if len(self._text) > 1 else b""


@dataclass(frozen=True, slots=True)
class Plan:
    """Result of a response's head, to apply after its body was read up to `limit` bytes.

    `lenient`: a body that ends short or is malformed does not matter (that of a redirect which is followed).
    `text` is what the body must contain, `encoding` one of ENCODINGS if the body is compressed.
    """

    then: Outcome | HttpRequest
    limit: int = BODY_LIMIT
    lenient: bool = False
    text: bytes = b""
    encoding: str = ""

    def end(self, hop: Callable[[HttpRequest], Hop], *, found: bool) -> Outcome | Hop:
        """Result after the body was read; `found` says whether it contained the text, `hop` leads to a redirect."""
        if not isinstance(self.then, Outcome):
            return hop(self.then)
        if found:
            return self.then
        coded = message.compressed(self.encoding) if self.encoding else ""
        return Outcome(Result.FAILURE, f"{self.then.message}, {message.WITHOUT_TEXT}{coded}")


ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "compress", "br", "zstd"})
"""The content codings that are named in a message; what else a server sends is not shown."""


def judge(request: HttpRequest, status: int, location: str, encoding: str = "") -> Plan:
    """The plan for a final status, the first Location header and the last Content-Encoding (each empty if absent).

    A response to HEAD has no body, whatever its header says.
    """
    plan = _plan(request, status, location, encoding)
    return replace(plan, limit=0) if request.action.method == "HEAD" else plan


def _plan(request: HttpRequest, status: int, location: str, encoding: str) -> Plan:
    """The plan for a response with a body.

    A failing status has limit 0: with deviation D1 no body can turn it into a success, so none is awaited.
    """
    action, said = request.action, message.http(status, request.redirects)
    text = action.bodyContains.encode()
    coding = encoding.rpartition(",")[2].strip().lower()
    coding = coding if coding in ENCODINGS else ""
    if any(low <= status <= high for low, high in map(_range, action.expectedStatuses)):
        return Plan(Outcome(Result.SUCCESS, said), text=text, encoding=coding)
    if status in _REDIRECTS and action.redirects != "Follow":
        return _fail(f"{said}, {message.NO_REDIRECT}")
    if status in _REDIRECTS and location:
        return _redirect(request, status, location)
    if action.expectedStatuses:
        return _fail(f"{said}, {message.UNEXPECTED_STATUS}")
    if not 200 <= status < 400:
        return _fail(said)
    result = Result.SUCCESS if status < 300 else Result.WARNING
    return Plan(Outcome(result, said), text=text, encoding=coding)


def _redirect(request: HttpRequest, status: int, location: str) -> Plan:
    said = message.http(status, request.redirects)
    try:
        if len(location) > LOCATION_LIMIT:
            raise url.BadUrl
        reference = url.parse(location)
    except url.BadUrl:
        return _fail(f"{said}, {message.UNREADABLE_LOCATION}")
    target = url.resolve(request.url, reference)
    if target.hostname != request.url.hostname:
        there = f"{said}, {message.OTHER_HOST}"
        found = Plan(Outcome(Result.WARNING, there), text=request.action.bodyContains.encode())
        return _fail(there) if request.action.expectedStatuses else found
    if request.redirects >= MAX_REDIRECTS:
        return _fail(f"HTTP {status}, {message.TOO_MANY_REDIRECTS}")
    if target.scheme not in ("http", "https"):
        return _fail(f"{said}, {message.OTHER_SCHEME}")
    following = redirected(request, target, relative=not reference.scheme)
    if not following.port:
        return _fail(f"{said}, {message.IMPOSSIBLE_PORT}")
    return Plan(following, SLURP_LIMIT, lenient=True)


def _fail(text: str) -> Plan:
    return Plan(Outcome(Result.FAILURE, text), limit=0)


def _range(status: int | str) -> tuple[int, int]:
    """The lowest and the highest one."""
    low, _, high = str(status).partition("-")
    return int(low), int(high or low)

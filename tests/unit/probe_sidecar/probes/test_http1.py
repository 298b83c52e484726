import dataclasses
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from external_service.core import HTTPGetAction, Probe
from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import Exchange, Hop, Outcome, Step
from probe_sidecar.probes.http1 import LONGEST_SHAPE, MOST_SHAPES, Asked, _shapes, quick
from probe_sidecar.probes.prepare import http_hop, prepare
from probe_sidecar.probes.request import first_request
from tests.cases import cases
from tests.unit.probe_sidecar.probes.parts import HEAD, SUCCESS, failure, hop

REQUEST = first_request(HTTPGetAction(port=80), "10.0.0.1", "10.0.0.1")


FOLLOWED = dataclasses.replace(hop(REQUEST), address=("http://10.0.0.1:80/x", 80))


def malformed(part: str) -> Outcome:
    return failure(message.malformed_http(part))


def judged(pieces: Iterable[bytes], *, ended: bool = True) -> Step:
    """Result of the exchange for these pieces and then, if `ended`, for the end of the connection."""
    exchange = Exchange(Asked(REQUEST, hop).read())
    response: Step = None
    for piece in pieces:
        response = exchange.feed(piece)
        if response is not None:
            return response
    return exchange.feed(b"") if ended else None


def followed(response: Step) -> Step:
    """Compare hops by their address."""
    return dataclasses.replace(response, open=FOLLOWED.open) if isinstance(response, Hop) else response


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\nX: %s\r\n\r\n" % (b"x" * 30_000)
ELSEWHERE = b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 9\r\n\r\nshort"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /x\r\n"


@cases(
    "response expected",
    ("line-8-http-1.0-knows-no-te", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", SUCCESS),
    ("line-15-only-the-status", b"HTTP/1.1 404 No\r\nX: secret\r\n\r\nsecret", failure("HTTP 404")),
    ("a-redirects-cut-body-does-not-matter", REDIRECT + b"Content-Length: 9\r\n\r\nshort", FOLLOWED),
    ("d9-interim-heads-over-64-kib-together", INTERIM * 3, failure(message.HEADERS_TOO_LARGE)),
    ("space-before-a-chunk-extension", CHUNKED + b"2 ;x\r\nok\r\n0\r\n\r\n", malformed("chunk")),
    ("chunk-line-over-4096", CHUNKED + b"2;" + b"a" * 4_096 + b"\r\nok\r\n0\r\n\r\n", malformed("chunk")),
    ("nor-does-a-malformed-one", REDIRECT + b"Transfer-Encoding: chunked\r\n\r\n?", FOLLOWED),
    ("line-14-d1-cut-body-of-a-redirect-not-followed", ELSEWHERE, failure(message.CLOSED_IN_BODY)),
)
def test_response_then_closed_connection(response: bytes, expected: Step) -> None:
    assert followed(judged([response])) == expected


@cases(
    "response expected",
    ("line-12-chunked-body-read-at-most-10240", CHUNKED + b"5000\r\n" + b"x" * 10_240, SUCCESS),
    ("line-12-one-byte-less-waits", HEAD + b"Content-Length: 20000\r\n\r\n" + b"x" * 10_239, None),
    ("d1-stalled-503-fails-at-once", b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n", failure("HTTP 503")),
    ("a-redirects-long-body-is-not-awaited", REDIRECT + b"Content-Length: 3000\r\n\r\n", FOLLOWED),
    ("a-redirects-short-body-is", REDIRECT + b"Content-Length: 3\r\n\r\nx", None),
    ("a-redirects-unbounded-body-up-to-2048", REDIRECT + b"\r\n" + b"x" * 2_048, FOLLOWED),
)
def test_response_on_an_open_connection(response: bytes, expected: Step) -> None:
    assert followed(judged([response], ended=False)) == expected


# Parts of good and bad heads, to find a response that the fast path and the strict parser read differently.
FRAGMENTS = [
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 204 ", b"HTTP/1.0 200 OK", b"Content-Length: 2", b"Content-Length: 3"),
    *(b"content-length:3", b"Content-Length: 40", b"X-Content-Length: 2", b"Transfer-Encoding: chunked", b"A: b"),
    *(b"\r\n", b"\n", b" ", b"\t", b":", b"\x00", b"ok", b"\xff"),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10), st.data())
def test_fast_path_equals_the_strict_parser(fragments: list[bytes], data: st.DataObject) -> None:
    """Also for a response that differs from an earlier one in its digits only."""
    first = HEAD + b"".join(fragments)
    digits = st.integers(0x30, 0x39)
    second = bytes(data.draw(digits) if 0x30 <= byte <= 0x39 else byte for byte in first)
    for response in (first, second):
        settled = quick(response)
        if settled is not None:
            assert judged([response[:1], response[1:]], ended=False) == settled


def test_fast_path_memory_is_bounded() -> None:
    for number in range(3 * MOST_SHAPES):
        name = bytes(0x61 + int(digit) for digit in str(number))
        assert quick(HEAD + b"X-%s: y\r\nContent-Length: 2\r\n\r\nok" % name) == SUCCESS
        assert len(_shapes) <= MOST_SHAPES
    kept = len(_shapes)
    assert quick(HEAD + b"X: %s\r\nContent-Length: 2\r\n\r\nok" % (b"y" * LONGEST_SHAPE)) == SUCCESS
    assert len(_shapes) == kept


@cases(
    "response settled",
    ("plain", HEAD + b"Server: x\r\ncontent-LENGTH:  2 \r\nDate: y\r\n\r\nok", SUCCESS),
    ("doubtful", HEAD + b"Content-Length: 2\r\nX-Content-Length: 2\r\n\r\nok", None),
    ("more headers than are read", HEAD + b"A:\r\n" * 256 + b"Content-Length: 2\r\n\r\nok", None),
    ("redirect", b"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", None),
)
def test_fast_path_handles_plain_responses_only(response: bytes, settled: Outcome | None) -> None:
    assert quick(response) == settled


MISSING = failure(f"HTTP 200, {message.WITHOUT_TEXT}")
FILL = b"x" * 10_236


@cases(
    "response expected",
    ("found", HEAD + b"Content-Length: 8\r\n\r\nall good", SUCCESS),
    ("missing", HEAD + b"Content-Length: 7\r\n\r\nall bad", MISSING),
    ("empty", HEAD + b"Content-Length: 0\r\n\r\n", MISSING),
    ("behind-the-end-of-the-body", HEAD + b"Content-Length: 3\r\n\r\nall good", MISSING),
    ("only-in-the-head", b"HTTP/1.1 200 good\r\nX: good\r\nContent-Length: 1\r\n\r\nx", MISSING),
    ("until-the-end", HEAD + b"\r\n" + b"all good", SUCCESS),
    ("across-chunks", CHUNKED + b"2\r\ngo\r\n2\r\nod\r\n0\r\n\r\n", SUCCESS),
    ("only-in-the-framing", CHUNKED + b"4;good\r\nxxxx\r\n0\r\nT: good\r\n\r\n", MISSING),
    ("at-the-very-end-of-10240", HEAD + b"\r\n" + FILL + b"good", SUCCESS),
    ("one-byte-too-late", HEAD + b"\r\n" + FILL + b"xgood", MISSING),
    ("one-byte-too-late-in-a-chunk", CHUNKED + b"2801\r\n" + FILL + b"xgood\r\n", MISSING),
    ("d1-found-but-cut", HEAD + b"Content-Length: 9\r\n\r\ngood", failure(message.CLOSED_IN_BODY)),
    ("no-text-saves-a-bad-status", b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ngood", failure("HTTP 503")),
)
@cases(
    "size",
    ("byte-by-byte", 1),
    ("by-three", 3),
    ("at-once", 100_000),
)
def test_body_contains_results(response: bytes, expected: Outcome, size: int) -> None:
    action = HTTPGetAction(port=80, bodyContains="good")
    exchange = http_hop(None, None, first_request(action, "10.0.0.1", "10.0.0.1")).start()
    found: Step | Exchange = None
    for at in range(0, len(response), size):
        found = exchange.feed(response[at : at + size])
        if found is not None:
            break
    assert (exchange.feed(b"") if found is None else found) == expected


def test_expected_statuses_bypass_the_fast_path() -> None:
    prepared = prepare(Probe(httpGet=HTTPGetAction(port=80, expectedStatuses=(204,))), "10.0.0.1")
    response = HEAD + b"Content-Length: 2\r\n\r\nok"
    assert prepared.hop is not None
    assert prepared.hop.start().feed(response) == failure(f"HTTP 200, {message.UNEXPECTED_STATUS}")

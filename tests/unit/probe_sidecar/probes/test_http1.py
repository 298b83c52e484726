import dataclasses
from collections.abc import Iterable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from external_service.core import HTTPGetAction, Probe
from probe_sidecar.probes.exchange import Hop, Step, TcpExchange
from probe_sidecar.probes.http1 import LONGEST_SHAPE, MOST_SHAPES, Asked, Http1Exchange, _shapes, quick
from probe_sidecar.probes.message import (
    CLOSED_IN_BODY,
    CLOSED_IN_HEADERS,
    CLOSED_WITHOUT_RESPONSE,
    HEADERS_TOO_LARGE,
    NOT_HTTP,
    READING_BODY,
    TOO_MANY_INTERIM,
    UNEXPECTED_STATUS,
    WAITING,
    WITHOUT_TEXT,
    malformed_http,
)
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.prepare import http_hop, prepare
from probe_sidecar.probes.request import HttpRequest, first_request
from probe_sidecar.probes.tcp import TcpExchange
from tests.cases import cases

REQUEST = first_request(HTTPGetAction(port=80), "10.0.0.1", "10.0.0.1")
OK = Outcome(Result.SUCCESS, "HTTP 200")


def hop(request: HttpRequest) -> Hop:
    return Hop((str(request.url), request.port), TcpExchange)


FOLLOWED = dataclasses.replace(hop(REQUEST), address=("http://10.0.0.1:80/x", 80))


def failure(message: str) -> Outcome:
    return Outcome(Result.FAILURE, message)


def malformed(part: str) -> Outcome:
    return failure(malformed_http(part))


def judged(pieces: Iterable[bytes], *, ended: bool = True) -> Step:
    """Result of the exchange for these pieces and then, if `ended`, for the end of the connection."""
    exchange = Http1Exchange(Asked(REQUEST, hop))
    answer: Step = None
    for piece in pieces:
        answer = exchange.feed(piece)
        if answer is not None:
            return answer
    return exchange.feed(b"") if ended else None


def followed(answer: Step) -> Step:
    """A hop is a fresh value each time; its address says which."""
    return dataclasses.replace(answer, open=FOLLOWED.open) if isinstance(answer, Hop) else answer


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /x\r\n"

# What a server sends before it closes the connection, and what that comes to.
CLOSED = [
    pytest.param(HEAD + b"Content-Length: 2\r\n\r\nok", OK, id="line-8-plain"),
    pytest.param(HEAD + b"\r\nok", OK, id="line-8-body-until-the-end"),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\nok", OK, id="line-8-http-1.0"),
    pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", OK, id="line-8-http-1.0-knows-no-te"),
    pytest.param(b"HTTP/1.1 200\r\n\r\n", OK, id="line-8-no-reason"),
    pytest.param(b"HTTP/1.1  200  OK\r\n\r\n", OK, id="line-8-spaces-before-the-status"),
    pytest.param(b"HTTP/1.1 200 OK\n\nok", OK, id="bare-line-feeds"),
    pytest.param(HEAD + b"A: b\r\n  c\r\n\td\r\n\r\n", OK, id="continued-header"),
    pytest.param(HEAD + b"Some Name: b\r\n\r\n", OK, id="space-in-a-name"),
    pytest.param(
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        OK._replace(message="HTTP 204"),
        id="204-no-body",
    ),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"\r\n", OK, id="line-8-100-skipped"),
    pytest.param(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 199 X\r\n\r\n" + HEAD + b"\r\n",
        OK,
        id="line-8-1xx-skipped",
    ),
    pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", failure("HTTP 101"), id="line-8-101"),
    pytest.param(b"HTTP/1.1 999 What\r\n\r\n", failure("HTTP 999"), id="line-8-999"),
    pytest.param(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nshort", failure("HTTP 503"), id="line-14-d1-cut-503"),
    pytest.param(b"HTTP/1.1 404 No\r\nX: secret\r\n\r\nsecret", failure("HTTP 404"), id="line-15-only-the-status"),
    pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n\r\n", OK, id="chunked"),
    pytest.param(CHUNKED + b"2;a=b \r\nok\r\n00\r\nT: x\r\n\r\n", OK, id="chunked-extension-and-trailer"),
    pytest.param(
        HEAD + b"Transfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n", OK, id="chunked-beats-length"
    ),
    pytest.param(
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok\r\n",
        malformed("chunk"),
        id="chunked-and-length",
    ),
    pytest.param(CHUNKED + b"2\r\nok\r\n", failure(CLOSED_IN_BODY), id="line-14-d1-cut-chunked"),
    pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n", failure(CLOSED_IN_BODY), id="line-14-d1-cut-before-trailers"),
    pytest.param(CHUNKED + b"2\nok\r\n0\r\n\r\n", malformed("chunk"), id="chunk-size-with-bare-line-feed"),
    pytest.param(CHUNKED + b"2\r\nokay\r\n0\r\n\r\n", malformed("chunk"), id="chunk-longer-than-said"),
    pytest.param(CHUNKED + b"-2\r\nok\r\n0\r\n\r\n", malformed("chunk"), id="chunk-size-negative"),
    pytest.param(CHUNKED + b"12345678901234567\r\n", malformed("chunk"), id="chunk-size-too-long"),
    pytest.param(CHUNKED + b"2;" + b"x" * 5_000 + b"\r\n", malformed("chunk"), id="chunk-line-too-long"),
    pytest.param(
        CHUNKED + (b"1;" + b"x" * 3_000 + b"\r\no\r\n") * 6 + b"0\r\n\r\n",
        malformed("chunk"),
        id="chunk-overhead-too-large",
    ),
    pytest.param(
        HEAD + b"Transfer-Encoding: chunked\r\nTrailer: a, Content-Length\r\n\r\n0\r\n\r\n",
        malformed("trailer"),
        id="announced-trailer-that-may-be-none",
    ),
    pytest.param(CHUNKED + b"0\r\nno colon\r\n\r\n", malformed("trailer"), id="trailer-malformed"),
    pytest.param(CHUNKED + b"0\r\nT: " + b"x" * 5_000 + b"\r\n\r\n", malformed("trailer"), id="trailer-too-long"),
    pytest.param(HEAD + b"Content-Length: 9\r\n\r\nshort", failure(CLOSED_IN_BODY), id="line-14-d1-cut-body"),
    pytest.param(HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", OK, id="equal-lengths"),
    pytest.param(
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", malformed("Content-Length"), id="unequal-lengths"
    ),
    pytest.param(HEAD + b"Content-Length: x\r\n\r\nabc", malformed("Content-Length"), id="length-not-a-number"),
    pytest.param(HEAD + b"Content-Length: +3\r\n\r\nabc", malformed("Content-Length"), id="length-with-sign"),
    pytest.param(HEAD + b"Content-Length:\r\n\r\nabc", malformed("Content-Length"), id="length-empty"),
    pytest.param(HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 63), malformed("Content-Length"), id="length-too-large"),
    pytest.param(
        HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", malformed("Content-Length"), id="length-absurd"
    ),
    pytest.param(HEAD + b"Transfer-Encoding: gzip\r\n\r\n", malformed("Transfer-Encoding"), id="unknown-encoding"),
    pytest.param(
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        malformed("Transfer-Encoding"),
        id="two-encodings",
    ),
    pytest.param(b"", failure(CLOSED_WITHOUT_RESPONSE), id="line-13-empty-reply"),
    pytest.param(b"HTTP/1.1 200 OK\r\nA: b\r\n", failure(CLOSED_IN_HEADERS), id="line-13-cut-headers"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", failure(CLOSED_IN_HEADERS), id="line-13-only-interim"),
    pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", failure(NOT_HTTP), id="line-13-non-http"),
    pytest.param(b"\x15\x03\x01\x00\x02\x02\x16", failure(NOT_HTTP), id="line-13-tls-alert"),
    pytest.param(b"\r\nHTTP/1.1 200 OK\r\n\r\n", failure(NOT_HTTP), id="blank-line-first"),
    pytest.param(b"http/1.1 200 OK\r\n\r\n", failure(NOT_HTTP), id="version-in-small-letters"),
    pytest.param(b"HTTP/1.1\r\n\r\n", malformed("status line"), id="no-status"),
    pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", malformed("status line"), id="status-too-short"),
    pytest.param(b"HTTP/1.1 2x0 OK\r\n\r\n", malformed("status line"), id="status-not-a-number"),
    pytest.param(b"HTTP/1.10 200 OK\r\n\r\n", malformed("status line"), id="version-malformed"),
    pytest.param(HEAD + b"no colon\r\n\r\n", malformed("header"), id="header-without-colon"),
    pytest.param(HEAD + b"no colon\r\n : x\r\n\r\n", malformed("header"), id="colon-only-in-the-continuation"),
    pytest.param(HEAD + b" A: b\r\n\r\n", malformed("header"), id="first-header-begins-with-space"),
    pytest.param(HEAD + b": b\r\n\r\n", malformed("header"), id="header-without-name"),
    pytest.param(HEAD + b"A\x00: b\r\n\r\n", malformed("header"), id="header-name-with-nul"),
    pytest.param(HEAD + b"A: b\x01\r\n\r\n", malformed("header"), id="header-value-with-control"),
    pytest.param(HEAD + b"A: b\rc\r\n\r\n", malformed("header"), id="header-value-with-bare-cr"),
    pytest.param(HEAD + b"A: " + b"x" * 65_536 + b"\r\n\r\n", failure(HEADERS_TOO_LARGE), id="d9-huge-headers"),
    pytest.param(
        b"HTTP/1.1 103 X\r\n\r\n" * 6 + HEAD + b"\r\n",
        failure(TOO_MANY_INTERIM),
        id="d9-endless-interim",
    ),
    pytest.param(REDIRECT + b"\r\n", FOLLOWED, id="line-9-followed"),
    pytest.param(REDIRECT + b"Content-Length: 9\r\n\r\nshort", FOLLOWED, id="a-redirects-cut-body-does-not-matter"),
    pytest.param(REDIRECT + b"Transfer-Encoding: chunked\r\n\r\n?", FOLLOWED, id="nor-does-a-malformed-one"),
    pytest.param(
        b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 9\r\n\r\nshort",
        failure(CLOSED_IN_BODY),
        id="line-14-d1-cut-body-of-a-redirect-not-followed",
    ),
    pytest.param(
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Outcome(Result.WARNING, "HTTP 304"), id="304-no-body"
    ),
]

# What comes to a result while the connection stays open.
OPEN = [
    pytest.param(HEAD + b"Content-Length: 20000\r\n\r\n" + b"x" * 10_240, OK, id="line-12-body-read-at-most-10240"),
    pytest.param(HEAD + b"\r\n" + b"x" * 10_240, OK, id="line-12-unbounded-body-read-at-most-10240"),
    pytest.param(CHUNKED + b"5000\r\n" + b"x" * 10_240, OK, id="line-12-chunked-body-read-at-most-10240"),
    pytest.param(HEAD + b"Content-Length: 20000\r\n\r\n" + b"x" * 10_239, None, id="line-12-one-byte-less-waits"),
    pytest.param(HEAD + b"\r\nok", None, id="line-14-stalled-body-waits"),
    pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n", None, id="line-14-stalled-trailers-wait"),
    pytest.param(HEAD, None, id="line-13-stalled-headers-wait"),
    pytest.param(b"HTT", None, id="begins-like-http"),
    pytest.param(HEAD + b"Content-Length: 0\r\n\r\n", OK, id="empty-body"),
    pytest.param(
        b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n", failure("HTTP 503"), id="d1-stalled-503-fails-at-once"
    ),
    pytest.param(REDIRECT + b"Content-Length: 3000\r\n\r\n", FOLLOWED, id="a-redirects-long-body-is-not-awaited"),
    pytest.param(REDIRECT + b"Content-Length: 3\r\n\r\nx", None, id="a-redirects-short-body-is"),
    pytest.param(REDIRECT + b"\r\n" + b"x" * 2_048, FOLLOWED, id="a-redirects-unbounded-body-up-to-2048"),
]


@pytest.mark.parametrize(("answer", "expected"), CLOSED)
def test_response_then_closed_connection(answer: bytes, expected: Step) -> None:
    assert followed(judged([answer])) == expected


@pytest.mark.parametrize(("answer", "expected"), OPEN)
def test_response_on_an_open_connection(answer: bytes, expected: Step) -> None:
    assert followed(judged([answer], ended=False)) == expected


@pytest.mark.parametrize(("answer", "expected"), CLOSED)
def test_response_byte_by_byte_gives_the_same_result(answer: bytes, expected: Step) -> None:
    pieces = [answer[at : at + 1] for at in range(min(len(answer), 300))] + [answer[300:]] * (len(answer) > 300)
    assert followed(judged(pieces)) == expected


@given(st.data())
def test_any_split_gives_the_same_result(data: st.DataObject) -> None:
    answer = cast(bytes, data.draw(st.sampled_from(CLOSED)).values[0])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=8)))
    pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    assert followed(judged(filter(None, pieces))) == followed(judged([answer] if answer else []))


# What heads are made of, good and bad, to find an answer that the quick look and the strict reader see differently.
FRAGMENTS = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 204 ",
    b"HTTP/1.0 200 OK",
    b"\r\n",
    b"\n",
    b"Content-Length: 2",
    b"Content-Length: 3",
    b"content-length:3",
    b"Content-Length: 40",
    b"X-Content-Length: 2",
    b"Transfer-Encoding: chunked",
    b"A: b",
    b" ",
    b"\t",
    b":",
    b"\x00",
    b"ok",
    b"\xff",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10))
def test_fast_path_equals_the_strict_parser(fragments: list[bytes]) -> None:
    answer = HEAD + b"".join(fragments)
    settled = quick(answer)
    if settled is not None:
        assert judged([answer[:1], answer[1:]], ended=False) == settled


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10), st.data())
def test_fast_path_equals_the_parser_after_other_responses(fragments: list[bytes], data: st.DataObject) -> None:
    shape = HEAD + b"".join(fragments)
    quick(shape)
    digits = st.integers(0x30, 0x39)
    answer = bytes(data.draw(digits) if 0x30 <= byte <= 0x39 else byte for byte in shape)
    settled = quick(answer)
    if settled is not None:
        assert judged([answer[:1], answer[1:]], ended=False) == settled


def test_fast_path_memory_is_bounded() -> None:
    for number in range(3 * MOST_SHAPES):
        name = bytes(0x61 + int(digit) for digit in str(number))
        assert quick(HEAD + b"X-%s: y\r\nContent-Length: 2\r\n\r\nok" % name) == OK
        assert len(_shapes) <= MOST_SHAPES
    kept = len(_shapes)
    assert quick(HEAD + b"X: %s\r\nContent-Length: 2\r\n\r\nok" % (b"y" * LONGEST_SHAPE)) == OK
    assert len(_shapes) == kept


@cases(
    "answer settled",
    ("plain", HEAD + b"Server: x\r\ncontent-LENGTH:  2 \r\nDate: y\r\n\r\nok", OK),
    ("long", HEAD + b"Content-Length: 99999\r\n\r\n" + b"x" * 10_240, OK),
    ("another-header", HEAD + b"X-Content-Length: 2\r\n\r\nok", None),
    ("doubtful", HEAD + b"Content-Length: 2\r\nX-Content-Length: 2\r\n\r\nok", None),
    ("short", HEAD + b"Content-Length: 3\r\n\r\nok", None),
    ("more headers than are read", HEAD + b"A:\r\n" * 256 + b"Content-Length: 2\r\n\r\nok", None),
    ("no-body-allowed", b"HTTP/1.1 204 X\r\nContent-Length: 3\r\n\r\nabc", None),
    ("redirect", b"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", None),
)
def test_fast_path_handles_plain_responses_only(answer: bytes, settled: Outcome | None) -> None:
    assert quick(answer) == settled


def test_phases_name_what_is_awaited() -> None:
    exchange = Http1Exchange(Asked(REQUEST, hop))
    assert exchange.begin().startswith(b"GET ")
    assert exchange.phase == WAITING
    assert exchange.feed(HEAD + b"Content-Length: 2\r\n\r\n") is None
    assert exchange.phase == READING_BODY


MISSING = failure(f"HTTP 200, {WITHOUT_TEXT}")
FILL = b"x" * 10_236


@cases(
    "answer expected",
    ("found", HEAD + b"Content-Length: 8\r\n\r\nall good", OK),
    ("missing", HEAD + b"Content-Length: 7\r\n\r\nall bad", MISSING),
    ("empty", HEAD + b"Content-Length: 0\r\n\r\n", MISSING),
    ("behind-the-end-of-the-body", HEAD + b"Content-Length: 3\r\n\r\nall good", MISSING),
    ("only-in-the-head", b"HTTP/1.1 200 good\r\nX: good\r\nContent-Length: 1\r\n\r\nx", MISSING),
    ("until-the-end", HEAD + b"\r\n" + b"all good", OK),
    ("across-chunks", CHUNKED + b"2\r\ngo\r\n2\r\nod\r\n0\r\n\r\n", OK),
    ("only-in-the-framing", CHUNKED + b"4;good\r\nxxxx\r\n0\r\nT: good\r\n\r\n", MISSING),
    ("at-the-very-end-of-10240", HEAD + b"\r\n" + FILL + b"good", OK),
    ("one-byte-too-late", HEAD + b"\r\n" + FILL + b"xgood", MISSING),
    ("one-byte-too-late-in-a-chunk", CHUNKED + b"2801\r\n" + FILL + b"xgood\r\n", MISSING),
    ("d1-found-but-cut", HEAD + b"Content-Length: 9\r\n\r\ngood", failure(CLOSED_IN_BODY)),
    ("no-text-saves-a-bad-status", b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ngood", failure("HTTP 503")),
)
@cases(
    "size",
    ("byte-by-byte", 1),
    ("by-three", 3),
    ("at-once", 100_000),
)
def test_body_contains_results(answer: bytes, expected: Outcome, size: int) -> None:
    action = HTTPGetAction(port=80, bodyContains="good")
    exchange = http_hop(None, None, first_request(action, "10.0.0.1", "10.0.0.1")).open()
    found: Step = None
    for at in range(0, len(answer), size):
        found = exchange.feed(answer[at : at + size])
        if found is not None:
            break
    assert (exchange.feed(b"") if found is None else found) == expected


def test_expected_statuses_bypass_the_fast_path() -> None:
    prepared = prepare(Probe(httpGet=HTTPGetAction(port=80, expectedStatuses=(204,))), "10.0.0.1")
    answer = HEAD + b"Content-Length: 2\r\n\r\nok"
    assert prepared.hop is not None
    assert prepared.hop.open().feed(answer) == failure(f"HTTP 200, {UNEXPECTED_STATUS}")

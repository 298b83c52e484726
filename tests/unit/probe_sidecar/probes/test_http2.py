import pytest
from hpack import Encoder

from external_service.core import HTTPGetAction
from probe_sidecar.probes import frames
from probe_sidecar.probes.exchange import Hop, Step, TcpExchange
from probe_sidecar.probes.frames import frame
from probe_sidecar.probes.http2 import Http2Exchange
from probe_sidecar.probes.message import (
    BODY_TOO_LONG,
    CLOSED_IN_BODY,
    DATA_FIRST,
    READING_BODY,
    WAITING,
    WITHOUT_TEXT,
    compressed,
    malformed_http2,
    stream_reset,
)
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.request import HttpRequest, first_request

REQUEST = first_request(HTTPGetAction(port=443, scheme="HTTPS", path="/a"), "10.0.0.1", "10.0.0.1")
SETTINGS = frame(frames.SETTINGS, 0, 0)
SETTINGS_ACK = frame(frames.SETTINGS, frames.ACK, 0)
END = frames.END_STREAM


def head(*fields: tuple[str, str], end: int = 0) -> bytes:
    return frame(frames.HEADERS, frames.END_HEADERS | end, 1, Encoder().encode(fields))


def body(data: bytes, end: int = 0) -> bytes:
    return frame(frames.DATA, end, 1, data)


def hop(request: HttpRequest) -> Hop:
    return Hop((str(request.url), request.port), TcpExchange)


def success(status: int) -> Outcome:
    return Outcome(Result.SUCCESS, f"HTTP {status}")


def failure(message: str) -> Outcome:
    return Outcome(Result.FAILURE, message)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(head((":status", "200")) + body(b"ok", END), success(200), id="line-6-h2-success"),
        pytest.param(head((":status", "204"), end=END), success(204), id="no-body"),
        pytest.param(
            head((":status", "200"), ("content-length", "5"), end=END),
            failure(CLOSED_IN_BODY),
            id="line-14-d1-length-without-body",
        ),
        pytest.param(
            head((":status", "103")) + head((":status", "200")) + body(b"", END), success(200), id="line-8-1xx-skipped"
        ),
        pytest.param(head((":status", "503")), failure("HTTP 503"), id="line-8-failing-status-at-once"),
        pytest.param(
            head((":status", "200")) + body(b"x" * 10_240), success(200), id="line-12-body-read-at-most-10240"
        ),
        pytest.param(head((":status", "200")) + body(b"x" * 10_239), SETTINGS_ACK, id="line-14-stalled-body-waits"),
        pytest.param(
            head((":status", "200"), ("content-length", "5")) + body(b"ok", END),
            failure(CLOSED_IN_BODY),
            id="line-14-d1-cut-body",
        ),
        pytest.param(
            head((":status", "200"), ("content-length", "1")) + body(b"ok", END),
            failure(malformed_http2(BODY_TOO_LONG)),
            id="longer-than-said",
        ),
        pytest.param(
            head((":status", "200")) + frame(frames.RST_STREAM, 0, 1, bytes(4)),
            failure(stream_reset("NO_ERROR")),
            id="line-14-d1-reset-body",
        ),
        pytest.param(head((":status", "200")) + body(b"ok") + head(("t", "x"), end=END), success(200), id="trailers"),
        pytest.param(head((":status", "302"), end=END), Outcome(Result.WARNING, "HTTP 302"), id="line-10-no-location"),
        pytest.param(body(b"ok"), failure(malformed_http2(DATA_FIRST)), id="data-first"),
        pytest.param(head(("a", "b")), failure(malformed_http2("status")), id="no-status"),
        pytest.param(head((":status", "100"), end=END), failure(malformed_http2("status")), id="ends-interim"),
    ],
)
def test_http2_responses(answer: bytes, expected: Step) -> None:
    assert Http2Exchange(REQUEST, hop).feed(SETTINGS + answer) == expected


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"", id="without-body"),
        pytest.param(body(b"x" * 2_048), id="long-body-is-not-awaited"),
        pytest.param(frame(frames.RST_STREAM, 0, 1, bytes(4)), id="a-cut-body-does-not-matter"),
    ],
)
def test_line_9_http2_redirect_is_followed(rest: bytes) -> None:
    answer = head((":status", "302"), ("location", "http://10.0.0.1:80/x"), end=0 if rest else END)
    found = Http2Exchange(REQUEST, hop).feed(SETTINGS + answer + rest)
    assert isinstance(found, Hop)
    assert found.address == ("http://10.0.0.1:80/x", 80)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(frame(frames.RST_STREAM, 0, 1, (7).to_bytes(4, "big")), id="refused-stream"),
        pytest.param(frame(frames.GOAWAY, 0, 0, bytes(8)), id="goaway"),
    ],
)
def test_unprocessed_request_is_retried_five_times(refusal: bytes) -> None:
    requests = [REQUEST]

    def again(request: HttpRequest) -> Hop:
        requests.append(request)
        return hop(request)

    answers = [Http2Exchange(requests[-1], again).feed(SETTINGS + refusal) for _ in range(6)]
    assert [request.retries for request in requests] == [0, 1, 2, 3, 4, 5]
    assert answers[:5] == [hop(REQUEST)] * 5
    assert isinstance(answers[5], Outcome)


def test_http2_connection_end() -> None:
    exchange = Http2Exchange(REQUEST, hop)
    assert exchange.phase == WAITING
    assert exchange.feed(SETTINGS + head((":status", "200"))) == SETTINGS_ACK
    assert exchange.phase == READING_BODY
    assert exchange.feed(b"") == failure(CLOSED_IN_BODY)


def test_http2_connection_opens_with_the_request() -> None:
    assert Http2Exchange(REQUEST, hop).begin() == frames.opening(
        [
            (b":authority", b"10.0.0.1:443"),
            (b":method", b"GET"),
            (b":path", b"/a"),
            (b":scheme", b"https"),
            (b"accept", b"*/*"),
            (b"user-agent", b"kube-probe/1.36"),
        ]
    )


MISSING = failure(f"HTTP 200, {WITHOUT_TEXT}")


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        pytest.param(body(b"all good", END), success(200), id="found"),
        pytest.param(body(b"all go") + body(b"od", END), success(200), id="across-frames"),
        pytest.param(body(b"all bad", END), MISSING, id="missing"),
        pytest.param(body(b"x" * 10_236 + b"good"), success(200), id="at-the-very-end-of-10240"),
        pytest.param(body(b"x" * 10_237 + b"good"), MISSING, id="one-byte-too-late"),
        pytest.param(body(b"all") + head(("t", "good"), end=END), MISSING, id="only-in-the-trailers"),
    ],
)
def test_http2_body_contains_results(rest: bytes, expected: Outcome) -> None:
    action = HTTPGetAction(port=443, scheme="HTTPS", bodyContains="good")
    exchange = Http2Exchange(first_request(action, "10.0.0.1", "10.0.0.1"), hop)
    assert exchange.feed(SETTINGS + head((":status", "200")) + rest) == expected


@pytest.mark.parametrize(
    ("coding", "said"),
    [("gzip", compressed("gzip")), ("x, BR", compressed("br")), ("secret", "")],
)
def test_compressed_body_without_the_text_is_named(coding: str, said: str) -> None:
    action = HTTPGetAction(port=443, scheme="HTTPS", bodyContains="good")
    exchange = Http2Exchange(first_request(action, "10.0.0.1", "10.0.0.1"), hop)
    answer = head((":status", "200"), ("content-encoding", coding)) + body(b"\x1f\x8b", END)
    assert exchange.feed(SETTINGS + answer) == failure(f"HTTP 200, {WITHOUT_TEXT}{said}")


def test_response_without_a_body_does_not_contain_the_text() -> None:
    action = HTTPGetAction(port=443, scheme="HTTPS", bodyContains="good")
    exchange = Http2Exchange(first_request(action, "10.0.0.1", "10.0.0.1"), hop)
    assert exchange.feed(SETTINGS + head((":status", "200"), end=END)) == MISSING

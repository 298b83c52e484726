import pytest

from external_service.core import HTTPGetAction
from probe_sidecar.probes import frames, http2
from probe_sidecar.probes.exchange import Exchange, Hop, Outcome
from probe_sidecar.probes.frames import frame
from probe_sidecar.probes.message import CLOSED_IN_BODY, READING_BODY, WAITING, WITHOUT_TEXT, compressed
from probe_sidecar.probes.request import HttpRequest, first_request
from tests.cases import cases
from tests.unit.probe_sidecar.probes.parts import END, SETTINGS, SUCCESS, body, failure, head, hop

REQUEST = first_request(HTTPGetAction(port=443, scheme="HTTPS", path="/a"), "10.0.0.1", "10.0.0.1")
SETTINGS_ACK = frame(frames.SETTINGS, frames.ACK, 0)


@cases(
    "rest",
    ("without-body", b""),
    ("long-body-is-not-awaited", body(b"x" * 2_048)),
    ("a-cut-body-does-not-matter", frame(frames.RST_STREAM, 0, 1, bytes(4))),
)
def test_line_9_http2_redirect_is_followed(rest: bytes) -> None:
    response = head((":status", "302"), ("location", "http://10.0.0.1:80/x"), end=0 if rest else END)
    found = Exchange(http2.read(REQUEST, hop)).feed(SETTINGS + response + rest)
    assert isinstance(found, Hop)
    assert found.address == ("http://10.0.0.1:80/x", 80)


@cases(
    "refusal",
    ("refused-stream", frame(frames.RST_STREAM, 0, 1, (7).to_bytes(4, "big"))),
    ("goaway", frame(frames.GOAWAY, 0, 0, bytes(8))),
)
def test_unprocessed_request_is_retried_five_times(refusal: bytes) -> None:
    requests = [REQUEST]

    def again(request: HttpRequest) -> Hop:
        requests.append(request)
        return hop(request)

    responses = [Exchange(http2.read(requests[-1], again)).feed(SETTINGS + refusal) for _ in range(6)]
    assert [request.retries for request in requests] == [0, 1, 2, 3, 4, 5]
    assert responses[:5] == [hop(REQUEST)] * 5
    assert isinstance(responses[5], Outcome)


def test_http2_connection_end() -> None:
    exchange = Exchange(http2.read(REQUEST, hop))
    assert exchange.phase == WAITING
    assert exchange.feed(SETTINGS + head((":status", "200"))) == SETTINGS_ACK
    assert exchange.phase == READING_BODY
    assert exchange.feed(b"") == failure(CLOSED_IN_BODY)


def test_long_field_section_uses_continuation() -> None:
    sent = frames.opening([(b"x", b"x" * 20_000)])[len(frames.PREFACE) + 21 :]
    length = int.from_bytes(sent[:3], "big")
    assert (length, sent[3], sent[4]) == (16_384, frames.HEADERS, frames.END_STREAM)
    assert (sent[9 + length + 3], sent[9 + length + 4]) == (frames.CONTINUATION, frames.END_HEADERS)


MISSING = failure(f"HTTP 200, {WITHOUT_TEXT}")


@cases(
    "rest expected",
    ("found", body(b"all good", END), SUCCESS),
    ("across-frames", body(b"all go") + body(b"od", END), SUCCESS),
    ("missing", body(b"all bad", END), MISSING),
    ("at-the-very-end-of-10240", body(b"x" * 10_236 + b"good"), SUCCESS),
    ("one-byte-too-late", body(b"x" * 10_237 + b"good"), MISSING),
    ("only-in-the-trailers", body(b"all") + head(("t", "good"), end=END), MISSING),
)
def test_http2_body_contains_results(rest: bytes, expected: Outcome) -> None:
    action = HTTPGetAction(port=443, scheme="HTTPS", bodyContains="good")
    exchange = Exchange(http2.read(first_request(action, "10.0.0.1", "10.0.0.1"), hop))
    assert exchange.feed(SETTINGS + head((":status", "200")) + rest) == expected


@pytest.mark.parametrize(
    ("coding", "said"),
    [("gzip", compressed("gzip")), ("x, BR", compressed("br")), ("secret", "")],
)
def test_compressed_body_without_the_text_is_named(coding: str, said: str) -> None:
    action = HTTPGetAction(port=443, scheme="HTTPS", bodyContains="good")
    exchange = Exchange(http2.read(first_request(action, "10.0.0.1", "10.0.0.1"), hop))
    response = head((":status", "200"), ("content-encoding", coding)) + body(b"\x1f\x8b", END)
    assert exchange.feed(SETTINGS + response) == failure(f"HTTP 200, {WITHOUT_TEXT}{said}")


def test_response_without_a_body_does_not_contain_the_text() -> None:
    action = HTTPGetAction(port=443, scheme="HTTPS", bodyContains="good")
    exchange = Exchange(http2.read(first_request(action, "10.0.0.1", "10.0.0.1"), hop))
    assert exchange.feed(SETTINGS + head((":status", "200"), end=END)) == MISSING

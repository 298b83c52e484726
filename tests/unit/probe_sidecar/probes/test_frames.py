import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from probe_sidecar.probes import frames
from probe_sidecar.probes.frames import Broken, Connection, Data, Headers, frame
from probe_sidecar.probes.message import (
    CLOSED_IN_BODY,
    CLOSED_WITHOUT_RESPONSE,
    FIELDS_TOO_LARGE,
    NOT_HTTP2,
    connection_ended,
    malformed_http2,
    stream_reset,
)
from tests.cases import cases

SETTINGS = frame(frames.SETTINGS, 0, 0)
BLOCK = Encoder().encode([(b":status", b"200")])
HEADERS = frame(frames.HEADERS, frames.END_HEADERS, 1, BLOCK)
LITERAL, INDEXED = b"\x40\x03x-a\x01b", b"\xbe"
HEAD = Headers([(b":status", b"200")], end=False)
DATA = frame(frames.DATA, frames.END_STREAM, 1, b"ok")


def test_http2_opening_is_preface_settings_and_request() -> None:
    fields = [(b":method", b"GET"), (b"x", b"y")]
    sent = frames.opening(fields)
    assert sent.startswith(frames.PREFACE + bytes.fromhex("00000c040000000000 000200000000 000600004000"))
    request = sent[len(frames.PREFACE) + 21 :]
    assert request[3:9] == bytes.fromhex("01 05 00000001")
    assert [(bytes(name), bytes(value)) for name, value in Decoder().decode(request[9:], raw=True)] == fields


def test_http2_opening_with_a_body_ends_the_stream() -> None:
    sent = frames.opening([(b":method", b"POST")], b"body")
    assert sent.endswith(bytes.fromhex("000004 00 01 00000001") + b"body")


def test_long_field_section_uses_continuation() -> None:
    sent = frames.opening([(b"x", b"x" * 20_000)])[len(frames.PREFACE) + 21 :]
    length = int.from_bytes(sent[:3], "big")
    assert (length, sent[3], sent[4]) == (16_384, frames.HEADERS, frames.END_STREAM)
    assert (sent[9 + length + 3], sent[9 + length + 4]) == (frames.CONTINUATION, frames.END_HEADERS)


ANSWERS = [
    pytest.param(SETTINGS + HEADERS + DATA, [HEAD, Data(b"ok", True)], id="head-and-body"),
    pytest.param(
        SETTINGS + frame(frames.HEADERS, 0, 1, BLOCK[:1]) + frame(frames.CONTINUATION, 4, 1, BLOCK[1:]),
        [HEAD],
        id="continued-headers",
    ),
    pytest.param(
        SETTINGS + frame(frames.HEADERS, 0x2C, 1, b"\x02" + bytes(5) + BLOCK + b"\0\0"),
        [HEAD],
        id="padding-and-priority",
    ),
    pytest.param(SETTINGS + frame(frames.DATA, 0x9, 1, b"\x01ok\0"), [Data(b"ok", True)], id="padded-data"),
    pytest.param(
        SETTINGS + frame(99, 255, 3, b"?") + frame(frames.WINDOW_UPDATE, 0, 3, bytes(4)) + DATA,
        [Data(b"ok", True)],
        id="unknown-frames-passed-over",
    ),
    pytest.param(
        SETTINGS + frame(frames.GOAWAY, 0, 0, bytes.fromhex("00000001 00000000")) + DATA,
        [Data(b"ok", True)],
        id="goaway-after-our-stream",
    ),
    pytest.param(
        SETTINGS + frame(frames.HEADERS, 4, 3, LITERAL) + frame(frames.HEADERS, 4, 1, INDEXED),
        [Headers([(b"x-a", b"b")], end=False)],
        id="headers-of-another-stream-fill-the-table",
    ),
    pytest.param(SETTINGS + DATA + b"garbage beyond the end", [Data(b"ok", True)], id="nothing-is-read-beyond-the-end"),
]


@pytest.mark.parametrize(("answer", "events"), ANSWERS)
def test_stream_1_events(answer: bytes, events: list[object]) -> None:
    assert list(Connection().receive(answer)) == events


@given(st.data())
def test_any_split_gives_the_same_events(data: st.DataObject) -> None:
    answer = SETTINGS + HEADERS + frame(frames.PING, 0, 0, b"12345678") + DATA
    cuts = sorted(data.draw(st.lists(st.integers(1, len(answer) - 1), max_size=8, unique=True)))
    connection = Connection()
    events: list[object] = []
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        events += connection.receive(answer[start:end])
    assert events == [HEAD, Data(b"ok", True)]
    assert connection.replies == bytes.fromhex("000000040100000000 000008060100000000") + b"12345678"


@cases(
    "answer message",
    ("http-1", b"HTTP/1.1 400 Bad Request\r\n\r\n", NOT_HTTP2),
    ("begins-like-http-1", b"HTTP/", NOT_HTTP2),
    ("tls-alert", b"\x15\x03\x01\x00\x02\x02\x16", NOT_HTTP2),
    ("ssh", b"SSH-2.0", NOT_HTTP2),
    ("headers-before-settings", HEADERS, NOT_HTTP2),
    ("closed", b"", CLOSED_WITHOUT_RESPONSE),
    ("huge-frame", SETTINGS + b"\xff\xff\xff" + bytes(6), malformed_http2("frame size")),
    ("hpack", SETTINGS + frame(frames.HEADERS, 4, 1, b"\xff\xff"), malformed_http2("header compression")),
    ("data-of-an-idle-stream", SETTINGS + frame(frames.DATA, 0, 3, b"x"), malformed_http2("stream")),
    ("push", SETTINGS + frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), malformed_http2("stream")),
    ("lone-continuation", SETTINGS + frame(frames.CONTINUATION, 4, 1), malformed_http2("stream")),
    ("interrupted", SETTINGS + frame(frames.HEADERS, 0, 1) + DATA, malformed_http2("headers interrupted")),
    ("padding", SETTINGS + frame(frames.DATA, 8, 1, b"\x05ok"), malformed_http2("padding")),
    ("settings", SETTINGS + frame(frames.SETTINGS, 0, 0, b"x"), malformed_http2("settings")),
    ("ping", SETTINGS + frame(frames.PING, 0, 0, b"x"), malformed_http2("ping")),
    ("short-reset", SETTINGS + frame(frames.RST_STREAM, 0, 1, b"x"), malformed_http2("frame size")),
    ("short-goaway", SETTINGS + frame(frames.GOAWAY, 0, 0, b"x"), malformed_http2("goaway")),
    ("reset", SETTINGS + frame(frames.RST_STREAM, 0, 1, bytes.fromhex("00000007")), stream_reset("REFUSED_STREAM")),
    (
        "goaway",
        SETTINGS + frame(frames.GOAWAY, 0, 0, bytes.fromhex("00000000 0000000b")),
        connection_ended("ENHANCE_YOUR_CALM"),
    ),
    ("code", SETTINGS + frame(frames.GOAWAY, 0, 0, bytes.fromhex("00000000 000000ff")), connection_ended("255")),
    (
        "d9-endless-headers",
        SETTINGS + frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 5,
        FIELDS_TOO_LARGE,
    ),
)
def test_connection_errors(answer: bytes, message: str) -> None:
    with pytest.raises(Broken) as caught:
        list(Connection().receive(answer))
    assert str(caught.value) == message


def test_connection_end_within_the_response() -> None:
    connection = Connection()
    assert list(connection.receive(SETTINGS + HEADERS)) == [HEAD]
    with pytest.raises(Broken, match=CLOSED_IN_BODY):
        list(connection.receive(b""))

import pytest
from hpack import Decoder, Encoder

from probe_sidecar.probes import frames
from probe_sidecar.probes.frames import Broken, Connection, Data, Headers, frame
from probe_sidecar.probes.message import (
    CLOSED_IN_BODY,
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


@cases(
    "answer events",
    ("head-and-body", SETTINGS + HEADERS + DATA, [HEAD, Data(b"ok", True)]),
    (
        "continued-headers",
        SETTINGS + frame(frames.HEADERS, 0, 1, BLOCK[:1]) + frame(frames.CONTINUATION, 4, 1, BLOCK[1:]),
        [HEAD],
    ),
    ("padding-and-priority", SETTINGS + frame(frames.HEADERS, 0x2C, 1, b"\x02" + bytes(5) + BLOCK + b"\0\0"), [HEAD]),
    ("padded-data", SETTINGS + frame(frames.DATA, 0x9, 1, b"\x01ok\0"), [Data(b"ok", True)]),
    (
        "unknown-frames-passed-over",
        SETTINGS + frame(99, 255, 3, b"?") + frame(frames.WINDOW_UPDATE, 0, 3, bytes(4)) + DATA,
        [Data(b"ok", True)],
    ),
    (
        "goaway-after-our-stream",
        SETTINGS + frame(frames.GOAWAY, 0, 0, bytes.fromhex("00000001 00000000")) + DATA,
        [Data(b"ok", True)],
    ),
    (
        "headers-of-another-stream-fill-the-table",
        SETTINGS + frame(frames.HEADERS, 4, 3, LITERAL) + frame(frames.HEADERS, 4, 1, INDEXED),
        [Headers([(b"x-a", b"b")], end=False)],
    ),
    ("nothing-is-read-beyond-the-end", SETTINGS + DATA + b"garbage beyond the end", [Data(b"ok", True)]),
)
def test_stream_1_events(answer: bytes, events: list[object]) -> None:
    assert list(Connection().receive(answer)) == events


@cases(
    "answer message",
    ("ssh", b"SSH-2.0", NOT_HTTP2),
    ("headers-before-settings", HEADERS, NOT_HTTP2),
    ("data-of-an-idle-stream", SETTINGS + frame(frames.DATA, 0, 3, b"x"), malformed_http2("stream")),
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

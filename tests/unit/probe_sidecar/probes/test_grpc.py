import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from hpack import Decoder, Encoder

from external_service.core import GRPCAction
from probe_sidecar.probes import frames, grpc
from probe_sidecar.probes.exchange import Hop, Step
from probe_sidecar.probes.frames import frame
from probe_sidecar.probes.grpc import GrpcExchange
from probe_sidecar.probes.message import MALFORMED_GRPC, grpc_status, stream_reset
from probe_sidecar.probes.outcome import Outcome, Result
from tests.cases import cases

SETTINGS = frame(frames.SETTINGS, 0, 0)
END = frames.END_STREAM


def head(*fields: tuple[str, str], end: int = 0) -> bytes:
    return frame(frames.HEADERS, frames.END_HEADERS | end, 1, Encoder().encode(fields))


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def body(message: bytes, end: int = 0) -> bytes:
    return frame(frames.DATA, end, 1, framed(message))


def failure(message: str) -> Outcome:
    return Outcome(Result.FAILURE, message)


GRPC_HEAD = head((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = head(("grpc-status", "0"), end=END)


@cases(
    "response expected",
    ("line-18-unknown", GRPC_HEAD + body(b"") + TRAILERS, failure("UNKNOWN")),
    ("line-18-service-unknown", GRPC_HEAD + body(b"\x08\x03") + TRAILERS, failure("SERVICE_UNKNOWN")),
    ("line-18-from-the-future", GRPC_HEAD + body(b"\x08\x09") + TRAILERS, failure("health status 9")),
    (
        "line-18-unimplemented",
        head((":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12"), end=END),
        failure(grpc_status("UNIMPLEMENTED")),
    ),
    ("no-trailers", GRPC_HEAD + body(b"\x08\x01", END), failure(MALFORMED_GRPC)),
    (
        "line-18-another-http2-server",
        head((":status", "404"), ("content-type", "text/plain"), end=END),
        failure("HTTP 404 instead of a gRPC response"),
    ),
    (
        "line-18-any-rpc-error",
        GRPC_HEAD + frame(frames.RST_STREAM, 0, 1, bytes.fromhex("00000007")),
        failure(stream_reset("REFUSED_STREAM")),
    ),
    ("waits-and-acknowledges", GRPC_HEAD, frame(frames.SETTINGS, frames.ACK, 0)),
)
def test_grpc_responses(response: bytes, expected: Step) -> None:
    assert GrpcExchange(b"").feed(SETTINGS + response) == expected


@cases(
    "refusal",
    ("refused-stream", frame(frames.RST_STREAM, 0, 1, (7).to_bytes(4, "big"))),
    ("goaway", frame(frames.GOAWAY, 0, 0, bytes(8))),
)
def test_unprocessed_call_is_repeated_once(refusal: bytes) -> None:
    first = grpc.hop(GRPCAction(port=50051), "10.0.0.1", "10.0.0.1", 1)
    second = first.open().feed(SETTINGS + refusal)
    assert isinstance(second, Hop)
    assert second.address == first.address
    assert isinstance(second.open().feed(SETTINGS + refusal), Outcome)


@pytest.mark.parametrize("service", ["", "shop", "ä" * 200])
def test_line_17_grpc_call(service: str) -> None:
    hop = grpc.hop(GRPCAction(port=50051, service=service), "2001:db8::1", "::1", 7)
    assert hop.address == ("::1", 50051, 0, 0)
    sent = hop.open().begin()
    assert isinstance(sent, bytes)
    rest = sent[len(frames.PREFACE) + 21 :]
    length = int.from_bytes(rest[:3], "big")
    fields = [(bytes(name), bytes(value)) for name, value in Decoder().decode(rest[9 : 9 + length], raw=True)]
    assert fields == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", b"[2001:db8::1]:50051"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"kube-probe/1.36"),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"7S"),
    ]
    assert rest[9 + length + 9 :] == framed(HealthCheckRequest(service=service).SerializeToString())


def test_health_status_is_parsed_as_protobuf_does() -> None:
    for status in range(4):
        encoded = HealthCheckResponse(status=status).SerializeToString()
        assert grpc.health_status(framed(encoded)) == status
    unknown_fields = bytes.fromhex("10 96 01 1a 02 6869 25 01020304 29 0102030405060708 08 01")
    assert grpc.health_status(framed(unknown_fields)) == HealthCheckResponse.FromString(unknown_fields).status == 1


@cases(
    "message",
    ("value-missing", b"\x08"),
    ("length-beyond-the-end", b"\x1a\x05x"),
    ("group", b"\x0b"),
    ("endless-varint", b"\x08" + b"\xff" * 11),
)
def test_malformed_message_has_no_status(message: bytes) -> None:
    assert grpc.health_status(framed(message)) is None

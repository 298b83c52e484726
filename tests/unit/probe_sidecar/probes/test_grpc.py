import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from hpack import Decoder

from external_service.core import GRPCAction
from probe_sidecar.probes import frames, grpc
from probe_sidecar.probes.exchange import Exchange, Step
from probe_sidecar.probes.frames import frame
from probe_sidecar.probes.message import MALFORMED_GRPC, grpc_status, stream_reset
from tests.cases import cases
from tests.unit.probe_sidecar.probes.parts import END, SETTINGS, body, failure, head


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


GRPC = ((":status", "200"), ("content-type", "application/grpc"))
GRPC_HEAD = head(*GRPC)
NOT_FOUND = head((":status", "404"), ("content-type", "text/plain"), end=END)
REFUSED = frame(frames.RST_STREAM, 0, 1, bytes.fromhex("00000007"))
TRAILERS = head(("grpc-status", "0"), end=END)


@cases(
    "response expected",
    ("line-18-from-the-future", GRPC_HEAD + body(framed(b"\x08\x09")) + TRAILERS, failure("health status 9")),
    ("line-18-unimplemented", head(*GRPC, ("grpc-status", "12"), end=END), failure(grpc_status("UNIMPLEMENTED"))),
    ("line-18-another-http2-server", NOT_FOUND, failure("HTTP 404 instead of a gRPC response")),
    ("no-trailers", GRPC_HEAD + body(b"\x08\x01", END), failure(MALFORMED_GRPC)),
    ("line-18-any-rpc-error", GRPC_HEAD + REFUSED, failure(stream_reset("REFUSED_STREAM"))),
)
def test_grpc_responses(response: bytes, expected: Step) -> None:
    assert Exchange(grpc.read(b"")).feed(SETTINGS + response) == expected


@pytest.mark.parametrize("service", ["", "shop", "ä" * 200])
def test_line_17_grpc_call(service: str) -> None:
    hop = grpc.hop(GRPCAction(port=50051, service=service), "2001:db8::1", "::1", 7)
    assert hop.address == ("::1", 50051, 0, 0)
    sent = hop.start().begin()
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

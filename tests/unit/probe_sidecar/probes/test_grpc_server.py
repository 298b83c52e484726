"""The gRPC probe against grpcio's own health service (docs/conformance.md, lines 17 to 19)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from external_service.core import GRPCAction, Probe
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.probes.message import grpc_status
from probe_sidecar.probes.prepare import PreparedProbe, prepare
from tests.cases import cases
from tests.unit.probe_sidecar.probes.conftest import Judge

Status = health_pb2.HealthCheckResponse


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    for service, status in (("", Status.SERVING), ("down", Status.NOT_SERVING), ("odd", Status.UNKNOWN)):
        servicer.set(service, status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    found = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found
    server.stop(None).wait()


def probe(port: int, service: str = "") -> PreparedProbe:
    return prepare(Probe(grpc=GRPCAction(port=port, service=service), timeoutSeconds=5), "127.0.0.1")


@cases(
    "service outcome",
    ("line-18-serving", "", Outcome(Result.SUCCESS, "SERVING")),
    ("line-18-not-serving", "down", Outcome(Result.FAILURE, "NOT_SERVING")),
    ("line-18-unknown", "odd", Outcome(Result.FAILURE, "UNKNOWN")),
    ("line-18-not-found", "none", Outcome(Result.FAILURE, grpc_status("NOT_FOUND"))),
)
async def test_grpc_health_results(judge: Judge, port: int, service: str, outcome: Outcome) -> None:
    assert await judge(probe(port, service)) == outcome

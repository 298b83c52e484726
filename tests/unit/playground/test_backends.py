"""Switchable backends, asked over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from playground.addresses import dial
from playground.backends import Backend, Backends, Mode, Protocol, Spot
from runtime.http_server import cannot_listen
from tests.cases import cases
from tests.until import until

HTTP = Spot("10.0.0.1", 18080, Protocol.HTTP)
HTTPS = Spot("10.0.0.2", 18443, Protocol.HTTPS)
TCP = Spot("2001:db8::1", 18432, Protocol.TCP)
GRPC = Spot("10.0.0.4", 18051, Protocol.GRPC)


@pytest.fixture
async def backends() -> AsyncIterator[Backends]:
    running = Backends()
    for spot in (HTTP, HTTPS, TCP, GRPC):
        await running.ensure(spot, slow_seconds=0.3)
    assert running.problems == {}
    yield running
    await running.stop()


async def ask(spot: Spot, read: float = 5) -> int:
    scheme = "https" if spot.protocol is Protocol.HTTPS else "http"
    async with httpx.AsyncClient(verify=False, timeout=httpx.Timeout(5, read=read)) as client:
        return (await client.get(f"{scheme}://{dial(spot.ip)}:{spot.port}/healthcheck")).status_code


@cases(
    "spot",
    ("http", HTTP),
    ("https", HTTPS),
)
async def test_web_backend_modes(backends: Backends, spot: Spot) -> None:
    assert await ask(spot) == 200
    await backends.set(spot.ip, Mode.ERROR)
    assert await ask(spot) == 500
    await backends.set(spot.ip, Mode.SLOW)
    before = asyncio.get_running_loop().time()
    assert await ask(spot) == 200
    assert asyncio.get_running_loop().time() - before >= 0.3
    await backends.set(spot.ip, Mode.STALL)
    with pytest.raises(httpx.ReadTimeout):
        await ask(spot, read=0.2)
    await backends.set(spot.ip, Mode.REFUSE)
    with pytest.raises(httpx.ConnectError):
        await ask(spot)
    await backends.set(spot.ip, Mode.HEALTHY)
    assert await ask(spot) == 200
    assert backends.found[spot].requests == 5


async def test_tcp_backend_modes(backends: Backends) -> None:
    for _ in range(2):
        _, writer = await asyncio.open_connection(dial(TCP.ip), TCP.port)
        writer.close()
        await writer.wait_closed()
    await backends.set(TCP.ip, Mode.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(dial(TCP.ip), TCP.port)


async def test_grpc_backend_health_for_the_reference_client(backends: Backends) -> None:
    async with grpc.aio.insecure_channel(f"{dial(GRPC.ip)}:{GRPC.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="shop")
        assert (await stub.Check(request, timeout=5)).status == health_pb2.HealthCheckResponse.SERVING
        await backends.set(GRPC.ip, Mode.ERROR)
        async with asyncio.timeout(20):  # the client may still hold the connection that the change has broken
            status = None
            while status is None:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    status = (await stub.Check(request, timeout=5, wait_for_ready=True)).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_taken_port_is_reported(backends: Backends) -> None:
    clash = Spot(HTTP.ip, HTTP.port, Protocol.TCP)
    await backends.ensure(clash)
    assert backends.problems == {clash: cannot_listen("127.128.0.1", 18080, "Address already in use")}
    with pytest.raises(LookupError, match=r"there is no backend for 10\.9\.9\.9"):
        await backends.set("10.9.9.9", Mode.REFUSE)


@pytest.mark.parametrize("mode", [Mode.STALL, Mode.SLOW])
async def test_stop_ends_delayed_responses(mode: Mode) -> None:
    backend = Backend(HTTP, dial(HTTP.ip), slow_seconds=600)
    await backend.set(mode)
    _, writer = await asyncio.open_connection(backend.address, HTTP.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: backend.requests == 1, "the request", seconds=10)
    await backend.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    writer.close()

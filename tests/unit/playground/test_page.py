"""Requests that the playground's page accepts: only its own script can switch a backend."""

from typing import Any

import httpx
import pytest

from playground.backends import Mode, Protocol, Spot
from playground.page import application
from playground.processes import free_ports
from playground.stack import Playground
from tests.cases import cases

JSON = {"content-type": "application/json"}


@pytest.fixture
async def playground() -> Any:
    playground = Playground()
    [port] = free_ports(1)
    await playground.backends.ensure(Spot("127.0.0.1", port, Protocol.TCP))
    yield playground
    await playground.backends.stop()


async def post(playground: Playground, body: str, headers: dict[str, str], host: str = "127.0.0.1:1") -> int:
    transport = httpx.ASGITransport(application(playground))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return (await client.post("/backends", content=body, headers=headers)).status_code


KILL = '{"ip": "127.0.0.1", "mode": "refuse"}'


@cases(
    "status request_",
    ("its own script", 200, (KILL, JSON)),
    ("a form of another site", 415, (KILL, {"content-type": "text/plain"})),
    ("a name of another site", 400, (KILL, JSON, "rebound.example:1")),
    ("no such backend", 409, ('{"ip": "10.9.9.9", "mode": "refuse"}', JSON)),
    ("no such mode", 422, ('{"ip": "127.0.0.1", "mode": "explode"}', JSON)),
    ("too slow", 422, ('{"ip": "127.0.0.1", "mode": "slow", "seconds": 61}', JSON)),
    ("no JSON", 422, ("[" * 10_000, JSON)),
)
async def test_backend_is_switched_by_valid_requests_only(status: int, request_: Any, playground: Playground) -> None:
    assert await post(playground, *request_) == status
    expected = Mode.REFUSE if status == 200 else Mode.HEALTHY
    assert playground.backends.at("127.0.0.1")[0].mode is expected


async def test_pages_say_that_the_prober_is_starting() -> None:
    transport = httpx.ASGITransport(application(Playground()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/overview")).status_code == 503
        assert '<script src="controls.js" defer></script>' in (await client.get("/")).text

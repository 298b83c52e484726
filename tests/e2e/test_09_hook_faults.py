"""With the hook down or failing the children stay unchanged, and all recovers by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from playground.client import ENDPOINTS, INGRESSES, SERVICES
from tests.e2e.backends import Mode
from tests.e2e.front import Answer
from tests.e2e.manifests import external_service
from tests.e2e.world import HOOK, World, ready
from tests.until import until, until_equal

HEALTHY, FAILING = IPS = ("10.0.100.10", "10.0.100.11")
FAULT_SECONDS = 3.0


async def stored(world: World) -> dict[str, Any]:
    """The whole children: any write changes their resourceVersion."""
    return {kind.kind: await world.get("web", kind=kind) for kind in (SERVICES, ENDPOINTS, INGRESSES)}


@asynccontextmanager
async def down(world: World) -> AsyncIterator[None]:
    await world.hook.kill()
    await world.fronts[HOOK].stop()
    yield
    await world.hook.start()
    await world.fronts[HOOK].start()


@asynccontextmanager
async def failing(world: World) -> AsyncIterator[None]:
    front = world.fronts[HOOK]
    front.answer = Answer(500, b"Internal Server Error")
    yield
    assert front.answered[500] >= 1, "it was asked"
    front.answer = None


@pytest.mark.world(fronts=True)
@pytest.mark.parametrize("fault", [down, failing])
async def test_hook_fault_changes_nothing(
    world: World, fault: Callable[[World], Any], figures: Callable[..., None]
) -> None:
    await world.apply(external_service("web", IPS, hosts=[{"host": "web.example"}]))
    await world.until_published("web", ready(IPS))
    await until_equal(lambda: world.has("web", INGRESSES), wanted=True)
    before = await stored(world)
    async with fault(world):
        world.hosts.switch(FAILING, Mode.REFUSE)
        await until(lambda: reported(world), "the failure is in the status", seconds=60)
        ends = time.monotonic() + FAULT_SECONDS
        while time.monotonic() < ends:
            assert await stored(world) == before
            await asyncio.sleep(0.2)
    seconds = await world.until_published("web", ready(IPS, but=[FAILING]))
    after = await stored(world)
    assert after["Endpoints"]["metadata"]["uid"] == before["Endpoints"]["metadata"]["uid"]
    assert after | {"Endpoints": None} == before | {"Endpoints": None}, "created again"
    assert world.composite.running
    figures(**{"published after the fault, seconds": seconds})


async def reported(world: World) -> bool:
    return {ip: one["ready"] for ip, one in (await world.addresses("web")).items()} == ready(IPS, but=[FAILING])

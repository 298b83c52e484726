"""With the hook down, too slow or sending invalid responses the children stay unchanged, and all recovers by itself."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from playground.client import ENDPOINTS, INGRESSES, SERVICES
from tests.e2e.backends import Mode
from tests.e2e.front import Answer
from tests.e2e.manifests import external_service
from tests.e2e.world import HOOK, World, ready
from tests.until import until

HEALTHY, FAILING = "10.0.100.10", "10.0.100.11"
IPS = (HEALTHY, FAILING)
FAULT_SECONDS = 3.0
RECOVERED_SECONDS = 60.0
"""Metacontroller doubles its pauses from 5 ms on: after a fault of some seconds it retries within as many seconds."""


JSON = {"Content-Type": "application/json"}
UNKNOWN_FIELD = json.dumps({"status": {}, "children": [], "surprise": True}).encode()
ANSWERS = {
    "500": Answer(500, b"Internal Server Error"),
    "404": Answer(404, b"Not Found"),
    "an empty body": Answer(200, b""),
    "a page": Answer(200, b"<html>It works!</html>"),
    "half an answer": Answer(200, b'{"status": {}, "children": [{"metadata"', JSON),
    "other types": Answer(200, b'{"status": 7, "children": "none"}', JSON),
    "an unknown field": Answer(200, UNKNOWN_FIELD, JSON),
}


async def stored(world: World) -> dict[str, Any]:
    """The whole children: any write changes their resourceVersion."""
    return {kind.kind: await world.get("web", kind=kind) for kind in (SERVICES, ENDPOINTS, INGRESSES)}


async def calm(world: World) -> dict[str, Any]:
    """The children once the writes of their creation are over."""
    await world.apply(external_service("web", IPS, hosts=[{"host": "web.example"}]))
    await world.until_published("web", ready(IPS))

    async def whole() -> bool:
        return None not in (await stored(world)).values()

    await until(whole, "every child", seconds=RECOVERED_SECONDS)
    return await stored(world)


async def dies_unpublished(world: World, before: dict[str, Any]) -> None:
    """An address dies: the status reports it, and the children do not change while the fault lasts."""
    world.hosts.switch(FAILING, Mode.REFUSE)

    async def reported() -> bool:
        return {one["ip"]: one["ready"] for one in (await world.status("web"))["addresses"]} == ready(
            IPS, but=[FAILING]
        )

    await until(reported, "reported in the status", seconds=RECOVERED_SECONDS)
    ends = time.monotonic() + FAULT_SECONDS
    while time.monotonic() < ends:
        assert await stored(world) == before
        await asyncio.sleep(0.2)


async def recovers(world: World, before: dict[str, Any]) -> float:
    """Seconds until the failure is published; nothing was created again."""
    seconds = await world.until_published("web", ready(IPS, but=[FAILING]), seconds=RECOVERED_SECONDS)
    after = await stored(world)
    assert {kind: child["metadata"]["uid"] for kind, child in after.items()} == {
        kind: child["metadata"]["uid"] for kind, child in before.items()
    }
    assert {kind: child for kind, child in after.items() if kind != "Endpoints"} == {
        kind: child for kind, child in before.items() if kind != "Endpoints"
    }
    assert world.composite.running
    return seconds


@pytest.mark.world(fronts=True)
async def test_hook_down_changes_nothing(world: World, figures: Callable[..., None]) -> None:
    before = await calm(world)
    await world.hook.kill()
    await world.fronts[HOOK].stop()
    await dies_unpublished(world, before)
    await world.hook.start()
    await world.fronts[HOOK].start()
    figures(**{"published after the start, seconds": await recovers(world, before)})


@pytest.mark.world(fronts=True, hook_timeout="2s")
async def test_hook_slow_changes_nothing(world: World, figures: Callable[..., None]) -> None:
    """A response takes 30 s, and Metacontroller waits 2 s, less than shipped to keep the test short."""
    before = await calm(world)
    front = world.fronts[HOOK]
    front.delay = 30.0
    await dies_unpublished(world, before)
    assert front.delayed >= 1, "it was asked"
    front.delay = 0.0
    figures(**{"published after it answers at once, seconds": await recovers(world, before)})


@pytest.mark.world(fronts=True)
async def test_hook_invalid_response_changes_nothing(world: World, figures: Callable[..., None]) -> None:
    before = await calm(world)
    front = world.fronts[HOOK]
    front.answer = ANSWERS["500"]
    await dies_unpublished(world, before)
    for number, (name, answer) in enumerate(ANSWERS.items(), 2):
        front.answer, asked = answer, sum(front.answered.values())
        await world.patch("web", {"spec": {"readinessProbe": {"notReadyPeriodSeconds": number}}})  # so it is called

        def again(asked: int = asked) -> bool:
            return sum(front.answered.values()) > asked

        await until(again, f"asked again, to answer {name}", seconds=RECOVERED_SECONDS)
        await asyncio.sleep(0.3)  # time for a wrong write
        assert await stored(world) == before, name
    front.answer = None
    figures(**{"published after it answers right, seconds": await recovers(world, before)})

"""From one replica to five to two: each address is probed by exactly one, and a rollout changes no readiness."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from playground.client import EXTERNAL_SERVICES
from tests.e2e.fleet import Fleet, quantiles
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.scenarios.machine import watched

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

LEASE = 5
COUNT = 40
STEADY_SECONDS = 5.0
HANDED_OVER_SECONDS = 1.0
"""Beside the lateness of the machine. Without releasing the Lease it would take LEASE - 1 at least."""

DRAIN_SECONDS = 2
EVERY = 0.02


@pytest.mark.world(replicas=1, lease=LEASE)
async def test_scaling_from_one_to_five_to_two(world: World, figures: Callable[..., None]) -> None:
    async with watched() as machine, Fleet(world, COUNT) as fleet:
        begun = time.monotonic()
        await asyncio.gather(*(world.replica(letter).start() for letter in "bcde"))
        await world.until_shared(fleet.names, *"abcde")
        shared = time.monotonic()
        await asyncio.sleep(STEADY_SECONDS)
        assert fleet.wrong_pace(shared, time.monotonic()) == {}, "with five"
        shares = list((await world.owners()).values())

        leaving = {
            ip for name, (owner,) in (await world.owners()).items() if owner in "cde" for ip in fleet.addresses[name]
        }
        told = time.monotonic()
        ended = await asyncio.gather(*(ending(world, letter) for letter in "cde"))
        await world.until_shared(fleet.names, "a", "b", seconds=LEASE * 3)
        handed_over = time.monotonic() - told
        settled = time.monotonic()
        await asyncio.sleep(STEADY_SECONDS)
        assert fleet.wrong_pace(settled, time.monotonic()) == {}, "with two"
        first = fleet.first(told)
        assert fleet.flips(begun) == []
    assert [await world.lease(letter) for letter in "cde"] == [None] * 3
    assert handed_over < HANDED_OVER_SECONDS + machine.withheld(told, settled)
    assert [line for replica in world.replicas.values() for line in replica.complaints()] == []
    median, longest = quantiles(first[ip] for ip in leaving)
    figures(
        **{"share of each of five": sorted(shares.count([letter]) for letter in "abcde")},
        **{"SIGTERM to the end, longest": max(ended), "to the last share taken over": handed_over},
        **{"to the next probe, p50": median, "max": longest},
    )


async def ending(world: World, letter: str) -> float:
    """Seconds from SIGTERM to the end."""
    begun = time.monotonic()
    await world.replicas[letter].stop()
    return time.monotonic() - begun


@pytest.mark.world
async def test_hook_serves_while_draining(world: World, figures: Callable[..., None]) -> None:
    await world.hook.restart_with({"ESO_DRAIN_SECONDS": str(DRAIN_SECONDS)})
    await world.apply(external_service("web", ["10.0.100.10"]))
    await world.until_published("web", {"10.0.100.10": True})
    parent = await world.client.get(EXTERNAL_SERVICES.path(world.namespace, "web"))
    request = {"parent": parent, "children": {}, "finalizing": False}
    answers: list[httpx.Response] = []
    stopped = asyncio.Event()

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=world.hook.url, trust_env=False) as client:
            while not stopped.is_set():
                answers.append(await client.post("/sync", json=request))
                await asyncio.sleep(EVERY)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        await asyncio.sleep(0.5)
        told, before = time.monotonic(), len(answers)
        going = group.create_task(world.hook.stop())
        await asyncio.sleep(DRAIN_SECONDS * 0.75)
        stopped.set()
        await going
    drained = answers[before:]
    assert {answer.status_code for answer in answers} == {200}
    assert len(drained) > 5
    assert {answer.headers.get("connection") for answer in drained[1:]} == {"close"}, "so that they go elsewhere"
    assert world.hook.complaints() == []
    figures(**{"answered while it drained": len(drained), "ended after": time.monotonic() - told})

"""A process killed while an address fails causes no wrong transition and no deleted child, and all converges."""

import asyncio
import itertools
import time
from typing import Any

import pytest

from playground.client import ENDPOINTS, INGRESSES, SERVICES
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.scenarios.timeline import Moment, followed
from tests.until import until

HEALTHY, FAILING, DEAD = "10.0.100.10", "10.0.100.11", "10.0.100.12"
PERIOD, FAILURES = 1, 3
DOWN_SECONDS = 3.0
CONVERGED_SECONDS = 60.0


async def kill_and_start(world: World, what: str) -> None:
    """SIGKILL, and started again after some seconds."""
    down, up = {
        "sidecar": (world.sidecar.kill, world.sidecar.start),
        "hook": (world.hook.kill, world.hook.start),
        "composite": (world.composite.kill, world.composite.start),
        "apiserver": (world.api.stop, world.api.start),
        "etcd": (world.api.kill_storage, world.api.start_storage),
    }[what]
    await down()
    await asyncio.sleep(DOWN_SECONDS)
    await up()


@pytest.mark.parametrize("what", ["sidecar", "hook", "composite", "apiserver", "etcd"])
async def test_sidecar_killed_during_a_failure_changes_no_readiness(world: World, what: str) -> None:
    parent = external_service("web", [HEALTHY, FAILING, DEAD], hosts=[{"host": "web.example"}])
    parent["spec"]["readinessProbe"] |= {"periodSeconds": PERIOD, "failureThreshold": FAILURES}
    await world.apply(parent)
    await world.until_published("web", {HEALTHY: True, FAILING: True, DEAD: True})
    world.hosts.switch(DEAD, Mode.REFUSE)
    before = {HEALTHY: True, FAILING: True, DEAD: False}
    await world.until_published("web", before)
    children = await uids(world)
    async with followed(world.client, world.namespace, "web") as timeline:
        began = time.monotonic()
        world.hosts.switch(FAILING, Mode.ERROR)
        await asyncio.sleep(1.5 * PERIOD)  # it has failed, but not failureThreshold times
        await kill_and_start(world, what)
        started = time.monotonic()
        gone, all_up = {**before, FAILING: False}, dict.fromkeys(before, True)
        await until(lambda: timeline.ready == gone, "the failing one out", seconds=CONVERGED_SECONDS, every=0.02)
        world.hosts.switch((FAILING, DEAD), Mode.HEALTHY)
        await until(lambda: timeline.ready == all_up, "all back", seconds=CONVERGED_SECONDS, every=0.02)
        shown = [moment for moment in timeline.published if moment.at > began]
    assert flips(shown, HEALTHY) == [], "an address that never failed has left"
    assert flips(shown, FAILING) == [False, True]
    assert flips(shown, DEAD, since=False) == [True]
    first_out = next(moment.at for moment in shown if not moment.ready[FAILING])
    evidence = started if what == "sidecar" else began  # a new sidecar has no result yet
    assert first_out - evidence > (FAILURES - 1) * PERIOD - 0.1, "it left before it had failed often enough"
    assert await uids(world) == children


def flips(shown: list[Moment], ip: str, *, since: bool = True) -> list[bool]:
    """The transitions of an address that was in state `since` at first."""
    states = [since, *(moment.ready[ip] for moment in shown)]
    return [after for before, after in itertools.pairwise(states) if before is not after]


async def uids(world: World) -> dict[str, Any]:
    """The uid of each child: one that was deleted and created again has another."""
    found = {kind.kind: await world.get("web", kind=kind) for kind in (SERVICES, ENDPOINTS, INGRESSES)}
    return {kind: child["metadata"]["uid"] if child else None for kind, child in found.items()}

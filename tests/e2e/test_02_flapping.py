"""After flapping and mass outages no result is lost or wrong, and none is published again."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from external_service.v1alpha1 import STALE_STATUS
from playground.client import EXTERNAL_SERVICES, readiness
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.scenarios.flap import flap
from tests.until import until_equal

Object = dict[str, Any]

DEFAULT_LIMITS: dict[str, Any] = {"qps": 5.0, "burst": 10}
"""Metacontroller's own --client-go-qps and --client-go-burst: seconds between its read and its write."""
KNOWN_ERRORS = (STALE_STATUS, "context canceled")
"""The refusals of the guard, and requests that end with Metacontroller where `World.limit` restarts it."""
STEPS = 25
SWITCHED_SECONDS = 6.0
"""3 s on an idle machine."""


@pytest.mark.kubernetes("loop")
@pytest.mark.parametrize(
    "limits",
    [
        pytest.param("raised", marks=pytest.mark.world(control=True)),
        pytest.param("default", marks=pytest.mark.world(control=True, **DEFAULT_LIMITS)),
    ],
)
async def test_flapping_publishes_every_last_state(world: World, limits: str, figures: Callable[..., None]) -> None:
    figures(**await flap(world), **await _errors(world))


@pytest.mark.parametrize(
    ("count", "period"),
    [
        pytest.param(30, 1, marks=pytest.mark.kubernetes("loop")),
        pytest.param(200, 2, marks=pytest.mark.nightly),
    ],
)
async def test_mass_outage_is_published(world: World, count: int, period: int, figures: Callable[..., None]) -> None:
    """All fail within 3 s, of 30 at Metacontroller's default limits: a sidecar that wrote only once left 17 wrong."""
    parents = [external_service(f"mass-{n}", [f"10.20.{n}.{last}" for last in range(1, 6)]) for n in range(count)]
    for parent in parents:
        parent["spec"]["readinessProbe"] |= {"periodSeconds": period, "failureThreshold": 1}
    await asyncio.gather(*(world.apply(parent) for parent in parents))
    await until_equal(lambda: _wrong(world, parents, up=True), [], seconds=180, every=0.5)
    if count == 30:
        await world.limit(**DEFAULT_LIMITS)
    await world.until_calm()

    mark, start = world.mark(), time.monotonic()
    victims = [ip for number in range(5) for parent in parents for ip in parent["spec"]["ips"][number : number + 1]]
    size = len(victims) // STEPS
    for step in range(STEPS):  # of 120 ms
        world.hosts.switch(victims[step * size : (step + 1) * size], Mode.REFUSE)
        await asyncio.sleep(max(0.0, start + 0.12 * (step + 1) - time.monotonic()))
    switched = time.monotonic() - start
    await until_equal(lambda: _wrong(world, parents, up=False), [], seconds=120, every=0.1)
    published = time.monotonic() - start
    await world.until_calm()
    assert await _wrong(world, parents, up=False) == []
    writes = world.writes(mark)
    figures(
        **{"addresses": len(victims), "switched off within": switched, "published after seconds": published},
        **{"writes of the sidecar": sum(one.user == "sidecar" for one in writes), "writes by all": len(writes)},
        **{"stale status writes refused": world.refused(mark), **await _errors(world)},
    )
    assert switched < SWITCHED_SECONDS, "too slow to be one outage"


async def _wrong(world: World, parents: list[Object], *, up: bool) -> list[str]:
    """The addresses whose published state, or whose state in the status, is not `up`."""
    endpoints = (await world.client.get(f"/api/v1/namespaces/{world.namespace}/endpoints"))["items"]
    owners = (await world.client.get(EXTERNAL_SERVICES.path(world.namespace)))["items"]
    published = {one["metadata"]["name"]: readiness(one) for one in endpoints}
    reported = {
        one["metadata"]["name"]: {each["ip"]: each["ready"] for each in one.get("status", {}).get("addresses", ())}
        for one in owners
    }
    return [
        ip
        for parent in parents
        for ip in parent["spec"]["ips"]
        for where in (published, reported)
        if where.get(parent["metadata"]["name"], {}).get(ip) is not up
    ]


async def _errors(world: World) -> dict[str, int]:
    """The refused writes since the first creation, the SyncError Events about them, and the counts of these Events.

    No Event has another cause. client-go counts equal Events on one object, and writes at most 25 about one object.
    """
    events = await world.sync_errors()
    messages = [event["message"] for event in events]
    assert [message for message in messages if not any(known in message for known in KNOWN_ERRORS)] == []
    counted = sum(event.get("count") or 1 for event in events)
    return {"refused since creation": world.refused(world.began), "SyncError events": len(events), "counting": counted}

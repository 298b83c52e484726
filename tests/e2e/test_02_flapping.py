"""After flapping and mass outages no result is lost or wrong, and none is published again."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import pytest

from playground.client import EXTERNAL_SERVICES, SIDECAR, readiness
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import DEFAULT_BURST, DEFAULT_QPS, World
from tests.scenarios.timeline import followed
from tests.until import until_equal

Object = dict[str, Any]

TURNS = 300
STEPS = 25
SWITCHED_SECONDS = 6.0
"""3 s on an idle machine."""


@pytest.mark.kubernetes("loop")
@pytest.mark.world(qps=DEFAULT_QPS, burst=DEFAULT_BURST)
async def test_flapping_publishes_every_last_state(world: World, figures: Callable[..., None]) -> None:
    """Some 10 backends a second turn; what turns faster than it is probed is seen in its last state."""
    dice, up = Random(1), dict.fromkeys((f"10.30.0.{last}" for last in range(1, 21)), True)
    parent = external_service("web", [*up])
    parent["spec"]["readinessProbe"] |= {"failureThreshold": 1}
    async with followed(world.client, world.namespace, "web") as timeline:
        await world.apply(parent)
        await world.until_published("web", up)
        await world.until_calm()
        mark, begun = world.mark(), time.monotonic()
        for _ in range(TURNS):
            ip = dice.choice([*up])
            up[ip] = not up[ip]
            world.hosts.switch(ip, Mode.HEALTHY if up[ip] else Mode.REFUSE)
            await asyncio.sleep(dice.uniform(0, 0.2))
        settled = await world.until_published("web", up, seconds=120)
        await world.until_calm()
        stored = [
            {ip: state for ip, (state, _) in one.addresses.items()} for one in timeline.statuses if one.at > begun
        ]
        shown = [moment.ready for moment in timeline.since(begun)]
    changed = {ip: (flips(stored, ip), flips(shown, ip)) for ip in up}
    writes = sum(one.user == SIDECAR for one in world.writes(mark))
    transitions = sum(in_status for in_status, _ in changed.values())
    figures(**{"transitions": transitions, "writes of the sidecar": writes, "settled after seconds": settled})
    assert (stored[-1], shown[-1]) == (up, up)
    revisions = [one.revision for one in timeline.statuses]
    assert revisions == sorted(revisions), "an older status was stored again"
    assert [ip for ip, (in_status, published) in changed.items() if published > in_status] == [], "published again"
    assert writes <= transitions, "a write without a transition"


def flips(states: Sequence[Mapping[str, bool]], ip: str) -> int:
    """The number of changes of an address that was ready at first."""
    each = [True, *(state[ip] for state in states)]
    return sum(before is not after for before, after in itertools.pairwise(each))


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
        await world.limit(DEFAULT_QPS, DEFAULT_BURST)
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
    figures(
        **{"addresses": len(victims), "switched off within": switched, "published after seconds": published},
        **{"writes by all": len(world.writes(mark)), "stale status writes refused": world.refused(mark)},
    )
    if world.status_policy:
        assert world.refused(world.began) == 0
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

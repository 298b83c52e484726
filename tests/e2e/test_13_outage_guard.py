"""A prober whose own network fails removes no address, reports it and recovers.

Real outages, refusals, a canary that responds, combinations: tests/unit/probe_sidecar/prober/test_outage.py.
No route to the addresses: tests/unit/probe_sidecar/probes/test_engine.py.
"""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from playground.client import SIDECAR
from tests.e2e import namespace
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.scenarios import bounds
from tests.scenarios.timeline import Timeline, followed
from tests.until import until_equal

FLEET = {"web": ("10.20.60.1", "10.20.60.2"), "api": ("10.20.60.3", "10.20.60.4", "10.20.60.5")}
ALL = [ip for ips in FLEET.values() for ip in ips]
HOLD = 6
LONG_HOLD = 20
"""Longer than a cut and the failures after it; the condition stays for the same time again."""
CUT_SECONDS = 8.0
"""Six probes of each address, with a failureThreshold of two."""
BOUND = bounds.leaves(external_service("any", ALL)["spec"]["readinessProbe"])
"""Seconds within which a dead address must have left."""
SUSPECTED, ENDED = ("True", "NoResponse"), ("False", "ResponseReceived")

Fleet = dict[str, Timeline]


async def fleet(world: World, stack: AsyncExitStack) -> Fleet:
    """Two ExternalServices with five addresses, all ready, and their transitions."""
    for name, ips in FLEET.items():
        await world.apply(external_service(name, ips))
    for name, ips in FLEET.items():
        await world.until_published(name, ready(ips))
    return {name: await stack.enter_async_context(followed(world.client, world.namespace, name)) for name in FLEET}


async def outage(world: World, *names: str) -> set[tuple[str, ...]]:
    """Status and reason of the condition SuspectedOutage, of each."""
    return {(await world.condition(name, "SuspectedOutage"))[:2] for name in names or FLEET}


async def metrics(world: World, *names: str) -> list[float]:
    found = await world.sidecar.metrics()
    return [found[f"eso_{name}"] for name in names]


def losses(timelines: Fleet, since: float) -> dict[str, float]:
    """The addresses published as not ready since a moment, and when first."""
    found: dict[str, float] = {}
    for timeline in timelines.values():
        for moment in timeline.since(since):
            for ip, is_ready in moment.ready.items():
                if not is_ready:
                    found.setdefault(ip, moment.at)
    return found


@pytest.mark.world(settings={"ESO_OUTAGE_HOLD_SECONDS": str(LONG_HOLD)})
async def test_prober_network_failure_changes_no_readiness(world: World) -> None:
    async with AsyncExitStack() as stack:
        timelines = await fleet(world, stack)
        dies_meanwhile = FLEET["api"][-1]
        mark, began = world.mark(), time.monotonic()
        with namespace.lost(namespace.LINK):
            await until_equal(lambda: outage(world), {SUSPECTED}, seconds=15)
            world.hosts.switch(dies_meanwhile, Mode.REFUSE)
            await asyncio.sleep(max(0.0, began + CUT_SECONDS - time.monotonic()))
            assert await metrics(world, "suspected_outage", "pending_transitions") == [1, len(ALL)]
            assert (await world.sidecar.page("/status.txt")).text.startswith("SUSPECTED OUTAGE: ")
            assert losses(timelines, began) == {}
            assert sum(write.user == SIDECAR for write in world.writes(mark)) == len(FLEET), "one write for each"
        await world.until_published("api", ready(FLEET["api"], but=[dies_meanwhile]))
        assert await outage(world) == {SUSPECTED}, "reported for a while yet"
        await until_equal(lambda: outage(world), {ENDED}, seconds=LONG_HOLD + 15)
        await asyncio.sleep(BOUND)
        gone = losses(timelines, began)
        assert set(gone) == {dies_meanwhile}, "only what failed meanwhile leaves"
        assert await metrics(world, "suspected_outage", "pending_transitions") == [0, 0]
        written = sum(write.user == SIDECAR for write in world.writes(mark))
        assert written <= 2 * len(FLEET) + 1, "one as it began, one as it ended, one for the one that died"

        async def in_events() -> list[tuple[str, str]]:
            both = await world.events("SuspectedOutage") + await world.events("SuspectedOutageEnded")
            return [(name, kind) for name, kind, _ in both]

        await until_equal(in_events, [(name, kind) for kind in ("Warning", "Normal") for name in sorted(FLEET)])


@pytest.mark.world(settings={"ESO_CANARY": "http://10.20.61.1:8080/any", "ESO_OUTAGE_HOLD_SECONDS": str(HOLD)})
async def test_canary_protects_a_single_address(world: World) -> None:
    """It refuses connections, which is a response, until the network is cut."""
    web = FLEET["web"][:1]
    await world.apply(external_service("web", web))
    await world.until_published("web", ready(web))
    async with followed(world.client, world.namespace, "web") as timeline:
        began = time.monotonic()
        assert await metrics(world, "canary_responds") == [1]
        with namespace.lost(namespace.LINK):
            await until_equal(lambda: outage(world, "web"), {SUSPECTED}, seconds=15)
            assert await metrics(world, "canary_responds") == [0]
        await until_equal(lambda: outage(world, "web"), {ENDED}, seconds=HOLD + 15)
        await asyncio.sleep(BOUND)
        assert losses({"web": timeline}, began) == {}

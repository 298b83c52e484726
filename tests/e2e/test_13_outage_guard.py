"""A prober whose own network fails removes no address, reports it and recovers; a real outage is published in time.

Without a response a transition is delayed for ESO_OUTAGE_HOLD_SECONDS (docs/operations.md), with a refusal it is not.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from typing import Any

import pytest

from playground.backends import Protocol
from playground.client import SIDECAR, Kind
from tests.e2e import namespace, packets
from tests.e2e.backends import Mode, Place
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.scenarios.bounds import bounds_of
from tests.scenarios.timeline import Follower, Timeline
from tests.until import until

FLEET = {"web": ("10.20.60.1", "10.20.60.2"), "api": ("10.20.60.3", "10.20.60.4", "10.20.60.5")}
EVERYBODY = [ip for ips in FLEET.values() for ip in ips]
EVENTS = Kind("events.k8s.io/v1", "events", "Event", namespaced=True)
CANARY = Place("10.20.61.1", 5353, Protocol.TCP)
HOLD = 6
LONG_HOLD = 20
"""Longer than a cut and the failures after it; the condition stays for the same time again."""

CUT_SECONDS = 8.0
"""Six probes of each address, with a failureThreshold of two."""

Fleet = dict[str, Timeline]
Cut = Callable[[], AbstractContextManager[object]]


async def fleet(world: World, stack: AsyncExitStack) -> Fleet:
    """Two ExternalServices with five addresses, all ready, and their transitions."""
    for name, ips in FLEET.items():
        await world.apply(external_service(name, ips))
    for name, ips in FLEET.items():
        await world.until_published(name, ready(ips))
    return {name: await stack.enter_async_context(Follower(world.client, world.namespace, name)) for name in FLEET}


def bound() -> float:
    """Seconds within which a dead address must have left."""
    return bounds_of(external_service("any", EVERYBODY)["spec"]["readinessProbe"]).leaves


async def outage(world: World, name: str) -> tuple[str, str] | None:
    found = [one for one in (await world.status(name)).get("conditions", ()) if one["type"] == "SuspectedOutage"]
    return (found[0]["status"], found[0]["reason"]) if found else None


async def until_suspected(world: World, wanted: tuple[str, str], seconds: float = 15) -> float:
    async def holds() -> bool:
        return {await outage(world, name) for name in FLEET} == {wanted}

    return await until(holds, f"SuspectedOutage {wanted} on both", seconds=seconds, every=0.05)


async def metric(world: World, name: str) -> float:
    lines = (await world.sidecar.page("/metrics")).text.splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


async def notes(world: World, reason: str) -> list[tuple[str, str]]:
    """Name of the object and type of each Event."""
    items: list[dict[str, Any]] = (await world.client.get(EVENTS.path(world.namespace)))["items"]
    return sorted((one["regarding"]["name"], one["type"]) for one in items if one["reason"] == reason)


def losses(timelines: Fleet, since: float) -> dict[str, float]:
    """The addresses published as not ready since a moment, and when first."""
    found: dict[str, float] = {}
    for timeline in timelines.values():
        for moment in timeline.since(since):
            for ip, is_ready in moment.ready.items():
                if not is_ready:
                    found.setdefault(ip, moment.at)
    return found


@contextmanager
def without_a_route() -> Iterator[None]:
    """There is no route to the addresses: each attempt fails at once."""
    place = "10.20.60.0/24"
    namespace.ip("route", "add", "unreachable", place)
    try:
        yield
    finally:
        namespace.ip("route", "delete", "unreachable", place)


@pytest.mark.world(settings={"ESO_OUTAGE_HOLD_SECONDS": str(LONG_HOLD)})
@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda: packets.lost(namespace.LINK), id="packets-vanish"),
        pytest.param(without_a_route, id="no-route", marks=pytest.mark.nightly),
    ],
)
async def test_prober_network_failure_changes_no_readiness(
    world: World, cut: Cut, figures: Callable[..., None]
) -> None:
    async with AsyncExitStack() as stack:
        timelines = await fleet(world, stack)
        dies_meanwhile = FLEET["api"][-1]
        mark, began = world.mark(), time.monotonic()
        with cut():
            reported = await until_suspected(world, ("True", "NoResponse"))
            world.hosts.switch(dies_meanwhile, Mode.REFUSE)
            await asyncio.sleep(max(0.0, began + CUT_SECONDS - time.monotonic()))
            assert await metric(world, "eso_suspected_outage") == 1
            assert await metric(world, "eso_pending_transitions") == len(EVERYBODY)
            assert (await world.sidecar.page("/status.txt")).text.startswith("SUSPECTED OUTAGE: ")
            assert losses(timelines, began) == {}
            assert sum(write.user == SIDECAR for write in world.writes(mark)) == len(FLEET), "one write for each"
        healed = time.monotonic()
        await world.until_published("api", ready(FLEET["api"], but=[dies_meanwhile]))
        assert {await outage(world, name) for name in FLEET} == {("True", "NoResponse")}, "reported for a while yet"
        trusted = await until_suspected(world, ("False", "ResponseReceived"), seconds=LONG_HOLD + 15)
        await asyncio.sleep(bound())
        gone = losses(timelines, began)
        assert set(gone) == {dies_meanwhile}, "only what failed meanwhile leaves"
        assert await metric(world, "eso_suspected_outage") == await metric(world, "eso_pending_transitions") == 0
        sidecar = sum(write.user == SIDECAR for write in world.writes(mark))
        assert sidecar <= 2 * len(FLEET) + 1, "one as it began, one as it ended, one for who died"

        async def in_events() -> bool:
            on_both = [(name, "Warning") for name in sorted(FLEET)]
            ended = [(name, "Normal") for name in sorted(FLEET)]
            return (await notes(world, "SuspectedOutage"), await notes(world, "SuspectedOutageEnded")) == (
                on_both,
                ended,
            )

        await until(in_events, "both Events on both", seconds=30)
        figures(
            **{"cut to reported": reported, "recovered to report ended": trusted, "writes of the sidecar": sidecar},
            **{"healed to the one that died left": gone[dies_meanwhile] - healed},
        )


@pytest.mark.world(settings={"ESO_OUTAGE_HOLD_SECONDS": str(HOLD)})
async def test_outage_of_all_addresses_is_published_after_the_hold(world: World, figures: Callable[..., None]) -> None:
    async with AsyncExitStack() as stack:
        timelines = await fleet(world, stack)
        began = time.monotonic()
        world.hosts.switch(EVERYBODY, Mode.DROP)
        for name, ips in FLEET.items():
            await world.until_published(name, ready((), but=ips), seconds=bound() + HOLD + 10)
        gone = losses(timelines, began)
        seconds = sorted(at - began for at in gone.values())
        figures(**{"first left": seconds[0], "last left": seconds[-1], "allowed": bound() + HOLD, "hold": HOLD})
        assert seconds[0] > HOLD
        assert seconds[-1] <= bound() + HOLD
        assert {await outage(world, name) for name in FLEET} == {("True", "NoResponse")}, "until an address responds"
        world.hosts.switch(EVERYBODY, Mode.HEALTHY)
        for name, ips in FLEET.items():
            await world.until_published(name, ready(ips))
        await until_suspected(world, ("False", "ResponseReceived"), seconds=HOLD + 15)


async def lost_at_the_usual_bound(world: World, timelines: Fleet, mode: Mode) -> dict[str, float]:
    """All fail at once and leave without a delay, and no outage is suspected; the figures."""
    began = time.monotonic()
    world.hosts.switch(EVERYBODY, mode)
    for name, ips in FLEET.items():
        await world.until_published(name, ready((), but=ips))
    last = max(losses(timelines, began).values()) - began
    assert last <= bound()
    assert {await outage(world, name) for name in FLEET} == {None}
    return {"last left": last, "allowed": bound()}


async def test_refused_connections_of_all_addresses_are_not_delayed(world: World, figures: Callable[..., None]) -> None:
    async with AsyncExitStack() as stack:
        timelines = await fleet(world, stack)
        figures(**await lost_at_the_usual_bound(world, timelines, Mode.REFUSE))


@pytest.mark.world(settings={"ESO_CANARY": f"{CANARY.ip}:{CANARY.port}"})
async def test_responding_canary_delays_nothing(world: World, figures: Callable[..., None]) -> None:
    world.hosts.set([CANARY])
    async with AsyncExitStack() as stack:
        timelines = await fleet(world, stack)
        assert await metric(world, "eso_canary_responds") == 1
        figures(**await lost_at_the_usual_bound(world, timelines, Mode.DROP))
        world.hosts.switch(EVERYBODY, Mode.HEALTHY)


@pytest.mark.world(settings={"ESO_CANARY": f"http://{CANARY.ip}:8080/any", "ESO_OUTAGE_HOLD_SECONDS": str(HOLD)})
async def test_canary_protects_a_single_address(world: World, figures: Callable[..., None]) -> None:
    """It refuses connections, which is a response, until the network is cut."""
    async with AsyncExitStack() as stack:
        await world.apply(external_service("web", FLEET["web"][:1]))
        await world.until_published("web", ready(FLEET["web"][:1]))
        timeline = await stack.enter_async_context(Follower(world.client, world.namespace, "web"))
        began = time.monotonic()
        with packets.lost(namespace.LINK):

            async def reported() -> bool:
                return await outage(world, "web") == ("True", "NoResponse")

            figures(**{"cut to reported": await until(reported, "SuspectedOutage", seconds=15, every=0.05)})
            assert await metric(world, "eso_canary_responds") == 0

        async def over() -> bool:
            return await outage(world, "web") == ("False", "ResponseReceived")

        await until(over, "trusted again", seconds=HOLD + 15)
        await asyncio.sleep(bound())
        assert losses({"web": timeline}, began) == {}

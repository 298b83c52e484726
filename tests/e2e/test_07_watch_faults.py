"""Broken watches and failing responses of the API server cause no wrong transition, and all converges."""

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from playground.client import CONTROLLER, SERVICES, SIDECAR
from tests.e2e.backends import Mode
from tests.e2e.front import Answer, Front
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.scenarios.timeline import Follower, Timeline
from tests.until import until

HEALTHY, FAILING = "10.0.100.10", "10.0.100.11"
IPS = (HEALTHY, FAILING)
FAULT_SECONDS = 2.0
CUTS = 6
CONVERGED_SECONDS = 60.0


STATUS = (
    '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"%s","message":"a fault","code":%d}'
)
JSON = {"Content-Type": "application/json"}
REFUSALS = (
    Answer(429, (STATUS % ("TooManyRequests", 429)).encode(), {**JSON, "Retry-After": "1"}),
    Answer(500, (STATUS % ("InternalError", 500)).encode(), JSON),
    Answer(503, b"<html>no backend</html>"),
)


def at_the_api_server(world: World) -> list[Front]:
    """The proxies in front of the API server."""
    return [world.fronts[SIDECAR], world.fronts[CONTROLLER]]


def flips(timeline: Timeline, ip: str, begun: int) -> list[bool]:
    """The transitions of an address that was ready in the first `begun` moments; an absence counts as one."""
    states = [True, *(moment.ready.get(ip, False) for moment in timeline.published[begun:])]
    return [after for before, after in itertools.pairwise(states) if before is not after]


async def converge(timeline: Timeline, states: dict[str, bool]) -> float:
    return await until(
        lambda: timeline.ready == states, f"published as {states}", seconds=CONVERGED_SECONDS, every=0.02
    )


async def probed(world: World) -> set[str]:
    """The names of the ExternalServices that the sidecar probes."""
    rows: list[dict[str, Any]] = (await world.sidecar.shown())["addresses"]
    return {row["name"] for row in rows if row["namespace"] == world.namespace}


async def turnover(world: World) -> None:
    """One is deleted, one created, one created and deleted again, while our processes get no events."""
    await world.delete("gone")
    await world.apply(external_service("born", ["10.0.100.13"]))
    await world.apply(external_service("brief", ["10.0.100.14"]))
    await world.delete("brief")


async def turned_over(world: World) -> None:
    await world.until_published("born", {"10.0.100.13": True}, seconds=CONVERGED_SECONDS)

    async def settled() -> bool:
        there = {name: await world.get(name, kind=SERVICES) is not None for name in ("web", "born", "gone", "brief")}
        wanted = {"web": True, "born": True, "gone": False, "brief": False}
        return there == wanted and await probed(world) == {"web", "born"}

    await until(settled, "the right ones published and probed", seconds=CONVERGED_SECONDS, every=0.1)


@pytest.mark.world(fronts=True)
async def test_objects_replaced_during_a_watch_outage_are_noticed(world: World, figures: Callable[..., None]) -> None:
    """The API server is unreachable for a while; then the revision to continue from is compacted: 410."""
    await world.apply(external_service("web", IPS))
    await world.apply(external_service("gone", ["10.0.100.12"]))
    await world.until_published("gone", {"10.0.100.12": True})
    await world.until_published("web", ready(IPS))
    async with Follower(world.client, world.namespace, "web") as timeline:
        begun = len(timeline.published)
        for front in at_the_api_server(world):
            await front.stop()
        await turnover(world)
        world.hosts.switch(FAILING, Mode.REFUSE)
        await asyncio.sleep(FAULT_SECONDS)
        await world.api.forget_history()
        for front in at_the_api_server(world):
            await front.start()
        seconds = await converge(timeline, ready(IPS, but=[FAILING]))
        await turned_over(world)
        assert flips(timeline, HEALTHY, begun) == []
        assert flips(timeline, FAILING, begun) == [False]
    assert "410 Expired" in world.sidecar.log(), "it was to meet a 410"
    assert world.sidecar.running
    figures(**{"converged, seconds": seconds})


@pytest.mark.world(fronts=True)
async def test_watch_cut_every_second_loses_nothing(world: World, figures: Callable[..., None]) -> None:
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    cut, longest = 0, 0.0
    async with Follower(world.client, world.namespace, "web") as timeline:
        begun = len(timeline.published)
        for number in range(CUTS):
            if number in (0, 3):
                world.hosts.switch(FAILING, Mode.REFUSE if number == 0 else Mode.HEALTHY)
            await asyncio.sleep(1)
            cut += sum(front.hang_up() for front in at_the_api_server(world))
        await converge(timeline, ready(IPS))
        assert flips(timeline, HEALTHY, begun) == []
        assert flips(timeline, FAILING, begun) == [False, True], "its death and its return were both published"
        world.hosts.switch(FAILING, Mode.REFUSE)
        longest = await converge(timeline, ready(IPS, but=[FAILING]))
    assert cut >= CUTS
    figures(**{"connections cut": cut, "out afterwards, seconds": longest})


@pytest.mark.world(fronts=True)
async def test_refused_watch_recovers(world: World, figures: Callable[..., None]) -> None:
    """429, then 500, then a proxy's 503, while an address dies and a sidecar is started."""
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    async with Follower(world.client, world.namespace, "web") as timeline:
        begun = len(timeline.published)
        world.hosts.switch(FAILING, Mode.REFUSE)
        for answer in REFUSALS:
            for front in at_the_api_server(world):
                front.answer = answer
                front.hang_up()  # an open watch must be requested again
            await asyncio.sleep(FAULT_SECONDS)
            await until(partial(refused, world, answer.code), f"{answer.code} met", seconds=CONVERGED_SECONDS)
        assert world.sidecar.running, "ended by an error"
        starting = await started_unready(world)
        assert timeline.published[begun:] == []
        for front in at_the_api_server(world):
            front.answer = None
        out = await converge(timeline, ready(IPS, but=[FAILING]))
        await starting
        world.hosts.switch(FAILING, Mode.HEALTHY)
        back = await converge(timeline, ready(IPS))
        assert flips(timeline, HEALTHY, begun) == []
        assert flips(timeline, FAILING, begun) == [False, True]
    figures(**{"out after the fault, seconds": out, "back, seconds": back})


def refused(world: World, code: int) -> bool:
    """Whether it has sent a request in this stage: its pauses may be longer than a stage."""
    return world.fronts[SIDECAR].answered[code] > 0


async def started_unready(world: World) -> asyncio.Task[None]:
    """A new sidecar without a list yet: not ready, but alive, since a restart would not help."""
    await world.kill_sidecar()
    starting = asyncio.create_task(world.start_sidecar())

    async def unready() -> bool:
        try:
            return (await world.sidecar.page("/readyz")).status_code == 503
        except httpx.TransportError:
            return False

    await until(unready, "not ready", seconds=CONVERGED_SECONDS, every=0.1)
    assert (await world.sidecar.page("/healthz")).status_code == 200
    return starting

"""The real kube-proxy connects a cluster IP to ready addresses only; to a drained one only when none is ready.

A transition is the moment at which a watch shows it in the status. A connection belongs to the moment at which it
began. From FOLLOWED_SECONDS after the transition, connections must have the new outcome: kube-proxy gathers changes
for up to 1 s.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from playground.client import SERVICES
from tests.e2e.backends import Conduct, Mode
from tests.e2e.kube_proxy import CONNECTION_SECONDS, Client, node, outcomes
from tests.e2e.manifests import external_service
from tests.e2e.slices import MANAGERS, consuming
from tests.e2e.world import World
from tests.scenarios.machine import Machine, watched
from tests.scenarios.timeline import Timeline, followed
from tests.until import until, until_equal

A, B, C = IPS = ("10.20.90.10", "10.20.90.11", "10.20.90.12")
SIXES = ("2001:db8::90", "2001:db8::91", "2001:db8::92")
PORT = 8080
COUNT = 200
FOLLOWED_SECONDS = 1.5
JUDGED_SECONDS = 2.0
"""For some 100 connections."""
NONE_READY = "ConnectionRefusedError"
"""kube-proxy rejects connections to a Service without a usable endpoint."""

pytestmark = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=pytest.mark.world(endpoints=form)) for form in MANAGERS]
)

Change = Callable[[World], Awaitable[None]]


def service(*ips: str) -> dict[str, Any]:
    """With a cluster IP, and a failureThreshold of one."""
    parent = external_service("web", ips, port=PORT, service={"clusterIP": "Auto"})
    parent["spec"]["readinessProbe"] |= {"failureThreshold": 1}
    return parent


async def create(world: World, parent: dict[str, Any]) -> None:
    """With backends that respond with their address."""
    await world.apply(parent)
    for place in world.places(parent):
        world.hosts.set([place], Conduct(body=place.ip))


async def cluster_ips(world: World) -> list[str]:
    found: list[str] = (await world.client.get(SERVICES.path(world.namespace, "web")))["spec"]["clusterIPs"]
    return found


async def test_connections_reach_ready_addresses_only(
    world: World, form: str, tmp_path: Path, figures: Callable[..., None]
) -> None:
    await create(world, service(*IPS, *SIXES))
    world.hosts.switch([A, SIXES[0]], Mode.REFUSE)
    alive = frozenset((*IPS[1:], *SIXES[1:]))
    async with consuming(world, "web") as consumer, node(world, tmp_path) as network:
        await until(lambda: consumer.ready() == alive, f"{alive} ready in slices", seconds=60)
        assert consumer.managers() == MANAGERS[form]
        assert max(Counter(consumer.addresses()).values()) == 1, "an address is in two slices"
        await world.patch("web", {"spec": {"ipFamilyPolicy": "PreferDualStack"}}, kind=SERVICES)
        async with asyncio.TaskGroup() as group:
            for address, ready in zip(await cluster_ips(world), (IPS[1:], SIXES[1:]), strict=True):
                group.create_task(spread(Client(network.pid, address, PORT), ready, figures))


async def spread(client: Client, ready: Sequence[str], figures: Callable[..., None]) -> None:
    """Connections reach these addresses about equally often, and no other."""
    await until_reached(client, ready)
    client.connections.clear()
    await client.run(COUNT)
    reached = outcomes(client.connections)
    figures(**reached)
    assert reached.keys() == set(ready)
    assert reached.total() == COUNT
    assert min(reached.values()) >= COUNT / 4, f"not spread evenly: {reached}"


async def until_reached(client: Client, ips: Sequence[str]) -> None:
    """Waits until kube-proxy has installed its rules."""

    async def reached() -> set[str]:
        client.connections.clear()
        await client.run(10 * len(ips))
        return {*outcomes(client.connections)}

    await until_equal(reached, set(ips))


class Step(NamedTuple):
    """A change, the addresses that the status then reports as ready, and the outcomes of connections after that."""

    name: str
    change: Change
    ready: frozenset[str]
    outcomes: frozenset[str]


def switch(mode: Mode, *ips: str) -> Change:
    async def change(world: World) -> None:
        world.hosts.switch(ips, mode)

    return change


def spec(mode: Mode, *ips: str, **fields: Any) -> Change:
    """Changes the spec, then the backends."""

    async def change(world: World) -> None:
        await world.patch("web", {"spec": fields})
        await switch(mode, *ips)(world)

    return change


def steps(form: str) -> Iterator[Step]:
    """Each step begins in the state after the one before."""
    everyone = frozenset(IPS)
    last_resort = NONE_READY if form == "Endpoints" else C
    for name, mode in (("refused", Mode.REFUSE), ("dropped", Mode.DROP), ("HTTP 500", Mode.ERROR)):
        yield Step(f"one of 3: {name}", switch(mode, A), everyone - {A}, everyone - {A})
        yield Step(f"{name}: recovered", switch(Mode.HEALTHY, A), everyone, everyone)
    yield Step("one of 3 drained", spec(Mode.HEALTHY, C, disabledIPs=[C]), frozenset({A, B}), frozenset({A, B}))
    yield Step("the other 2: refused", switch(Mode.REFUSE, A, B), frozenset(), frozenset({last_resort}))
    yield Step("one of the 2 recovered", switch(Mode.HEALTHY, A), frozenset({A}), frozenset({A}))
    yield Step("all recovered, none drained", spec(Mode.HEALTHY, B, disabledIPs=[]), everyone, everyone)
    failing = frozenset(f"{ip}: 500" for ip in IPS)
    yield Step("all 3: HTTP 500, minReady 50%", spec(Mode.ERROR, *IPS, minReady="50%"), frozenset(), failing)
    yield Step("2 of 3 recovered", switch(Mode.HEALTHY, A, B), frozenset({A, B}), frozenset({A, B}))


async def test_kube_proxy_follows_each_transition(
    world: World, form: str, tmp_path: Path, figures: Callable[..., None]
) -> None:
    await create(world, service(*IPS))
    wrong: dict[str, set[str]] = {}
    async with (
        watched() as machine,
        followed(world.client, world.namespace, "web") as timeline,
        node(world, tmp_path) as network,
    ):
        (address,) = await cluster_ips(world)
        client = Client(network.pid, address, PORT)
        await until_reached(client, IPS)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(client.run())
            for step in steps(form):
                judged = await take(step, world, timeline, machine)
                await asyncio.sleep(JUDGED_SECONDS + CONNECTION_SECONDS)
                found = {*outcomes(client.between(judged, judged + JUDGED_SECONDS))}
                if found != step.outcomes:
                    wrong[step.name] = found
            running.cancel()
    figures(connections=len(client.connections), failed=sum(not one.served for one in client.connections))
    assert wrong == {}


async def take(step: Step, world: World, timeline: Timeline, machine: Machine) -> float:
    """Makes the change; returns the moment from which on kube-proxy must have followed its transition."""
    begun = time.monotonic()
    await step.change(world)
    await until(lambda: bool(moments(timeline, begun, step.ready)), step.name, seconds=60)
    transition = moments(timeline, begun, step.ready)[0]
    await asyncio.sleep(transition + FOLLOWED_SECONDS - time.monotonic())
    return time.monotonic() + machine.withheld(transition, time.monotonic())


def moments(timeline: Timeline, since: float, wanted: frozenset[str]) -> list[float]:
    """When a watch showed a status in which exactly these addresses are ready."""
    return [
        one.at
        for one in timeline.statuses
        if one.at > since and {ip for ip, (is_ready, _) in one.addresses.items() if is_ready} == wanted
    ]

"""CoreDNS returns exactly the ready addresses within a second, so its clients send nothing to a dead one.

A transition is the moment at which a watch shows it in the status, before the work of the hook.
"""

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.backends import Mode
from tests.e2e.client import Client
from tests.e2e.controlplane.build import Binaries
from tests.e2e.coredns import CoreDns
from tests.e2e.manifests import external_service
from tests.e2e.slices import MANAGERS, consuming
from tests.e2e.world import World
from tests.scenarios.machine import watched
from tests.scenarios.timeline import Follower, Timeline
from tests.until import until

FIRST, SECOND, SIX = "10.20.50.10", "10.20.50.11", "2001:db8::50"
IPS = frozenset({FIRST, SECOND, SIX})
NONE = frozenset[str]()
PORT = 8080
DEAD = (frozenset({FIRST}), NONE, frozenset({SECOND, SIX}), IPS, NONE)
"""The dead addresses of each step."""
FOLLOWED_SECONDS = 1.0
CALM_SECONDS = 1.5


@pytest.fixture
async def dns(world: World, binaries: Binaries, tmp_path: Path) -> AsyncIterator[CoreDns]:
    """CoreDNS on the API server of the world."""
    server = CoreDns(binaries.coredns, world.api.admin_kubeconfig, tmp_path)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


@pytest.mark.parametrize("form", [pytest.param(form, marks=pytest.mark.world(endpoints=form)) for form in MANAGERS])
async def test_cluster_dns_follows_readiness(
    world: World, dns: CoreDns, form: str, figures: Callable[..., None]
) -> None:
    parent = external_service("web", sorted(IPS), port=PORT)
    parent["spec"]["readinessProbe"] |= {"failureThreshold": 1}
    await world.apply(parent)
    client = Client(dns, "web", world.namespace, PORT)
    async with (
        watched() as machine,
        Follower(world.client, world.namespace, "web") as timeline,
        consuming(world, "web") as consumer,
        asyncio.TaskGroup() as group,
    ):
        running = group.create_task(client.run())
        await followed(client, timeline, IPS)
        for before, dead in itertools.pairwise((NONE, *DEAD)):
            world.hosts.switch(dead - before, Mode.REFUSE)
            world.hosts.switch(before - dead, Mode.HEALTHY)
            await followed(client, timeline, IPS - dead)
            await asyncio.sleep(CALM_SECONDS)
            calm = client.since(time.monotonic() - CALM_SECONDS)
            assert {one.to for one in calm if one.served} == IPS - dead, "not all that are ready are asked, or answer"
        running.cancel()
    assert consumer.managers() == MANAGERS[form]
    reported = [
        next(same) for _, same in itertools.groupby(zip(*states(timeline), strict=True), key=lambda state: state[1])
    ]
    assert len(reported) > len(DEAD)
    ends = [*(at for at, _ in reported[1:]), math.inf]
    for (at, ready), end in zip(reported, ends, strict=True):
        allowed = at + FOLLOWED_SECONDS + machine.withheld(at, at + FOLLOWED_SECONDS)
        late = [one.answer for one in client.requests if allowed < one.answer.asked and one.answer.answered < end]
        wrong = [answer for answer in late if answer.addresses != ready]
        assert wrong == [], f"not what was ready a second after {at}"
    figures(requests=len(client.requests), failed=len(client.failed), **{"requests a second": client.rate})


def states(timeline: Timeline) -> tuple[list[float], list[frozenset[str]]]:
    """Times and ready addresses of each status."""
    shown = [frozenset(ip for ip, (is_ready, _) in one.addresses.items() if is_ready) for one in timeline.statuses]
    return [one.at for one in timeline.statuses], shown


async def followed(client: Client, timeline: Timeline, wanted: frozenset[str]) -> None:
    await until(lambda: states(timeline)[1][-1:] == [wanted], f"{sorted(wanted)} ready", seconds=60)
    await until(lambda: client.named() == wanted, f"the name of {sorted(wanted)}", seconds=60)

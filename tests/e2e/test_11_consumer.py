"""CoreDNS returns exactly the ready addresses within a second, so its clients send nothing to a dead one.

A transition is the moment at which a watch shows it in the status, before the work of the hook.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.backends import Mode
from tests.e2e.controlplane.build import Binaries
from tests.e2e.coredns import CoreDns
from tests.e2e.manifests import external_service
from tests.e2e.slices import MANAGERS, consuming
from tests.e2e.world import World
from tests.scenarios.machine import watched
from tests.scenarios.timeline import StatusMoment, followed
from tests.until import until, until_equal

FIRST, SECOND, SIX = "10.20.50.10", "10.20.50.11", "2001:db8::50"
IPS = frozenset({FIRST, SECOND, SIX})
NONE = frozenset[str]()
DEAD = (NONE, frozenset({FIRST}), NONE, frozenset({SECOND, SIX}), IPS, NONE)
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
async def test_cluster_dns_follows_readiness(world: World, dns: CoreDns, form: str) -> None:
    parent = external_service("web", sorted(IPS))
    parent["spec"]["readinessProbe"] |= {"failureThreshold": 1}
    await world.apply(parent)
    late: dict[str, float] = {}
    async with (
        watched() as machine,
        followed(world.client, world.namespace, "web") as timeline,
        consuming(world, "web") as consumer,
    ):
        for before, dead in itertools.pairwise((NONE, *DEAD)):
            world.hosts.switch(dead - before, Mode.REFUSE)
            world.hosts.switch(before - dead, Mode.HEALTHY)
            wanted = IPS - dead
            await until(lambda wanted=wanted: ready(timeline.statuses[-1:]) == wanted, f"{wanted} ready", seconds=60)  # type: ignore[misc] # it is a set
            at = timeline.statuses[-1].at
            await until_equal(lambda: dns.resolve("web", world.namespace), wanted, every=0.02)
            late[f"without {sorted(dead)}"] = time.monotonic() - at - machine.withheld(at, time.monotonic())
            await asyncio.sleep(CALM_SECONDS)
            assert await dns.resolve("web", world.namespace) == wanted
    assert consumer.managers() == MANAGERS[form]
    assert {step: seconds for step, seconds in late.items() if seconds > FOLLOWED_SECONDS} == {}


def ready(statuses: list[StatusMoment]) -> frozenset[str]:
    """The ready addresses of the status, if there is one."""
    return frozenset(ip for one in statuses for ip, (is_ready, _) in one.addresses.items() if is_ready)

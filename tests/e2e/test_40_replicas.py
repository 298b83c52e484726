"""Other replicas take over the addresses of a lost one: no readiness changes, and no result is lost.

Other faults, at random: test_50_soak. Clocks, late writes, any order of renewals, joining, leaving, isolation:
tests/unit/probe_sidecar/replicas/, test_replicas.py and status/test_takeover_machine.py.
"""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.scenarios.machine import watched
from tests.scenarios.timeline import following
from tests.until import until

IPS = {f"web-{number}": f"10.20.0.{number + 1}" for number in range(18)}
"""The address of each ExternalService."""
LEASE = 3
TAKEOVER_SECONDS = LEASE + 1
STEADY_SECONDS = 4.0


@pytest.mark.any_metacontroller
@pytest.mark.world(replicas=3, lease=LEASE)
async def test_killed_replica_is_replaced_and_returns(world: World, figures: Callable[..., None]) -> None:
    """Meanwhile an address of it dies, one recovers, and an address of another replica dies."""
    changes: list[tuple[str, bool | None]] = []
    async with watched() as machine, following(world.client, world.namespace, lambda *change: changes.append(change)):
        await asyncio.gather(*(world.apply(external_service(name, [ip])) for name, ip in IPS.items()))
        await until(lambda: dict(changes) == ready(IPS.values()), "all ready", seconds=60)
        await world.until_shared(IPS, *"abc")
        orphans = [name for name, owners in (await world.owners()).items() if owners == ["b"]]
        revived, dying, *_ = (IPS[name] for name in orphans)
        other = next(ip for name, ip in IPS.items() if name not in orphans)
        world.hosts.switch(revived, Mode.ERROR)
        await until(lambda: dict(changes) == ready(IPS.values(), but=[revived]), "one not ready", seconds=30)

        changes.clear()
        begun = time.monotonic()
        await world.replicas["b"].kill()
        world.hosts.switch([dying, other], Mode.ERROR)
        world.hosts.switch(revived, Mode.HEALTHY)
        taken = await world.until_shared(IPS, "a", "c", seconds=60)
        allowed = TAKEOVER_SECONDS + machine.withheld(begun, time.monotonic())
        wanted = {(dying, False), (other, False), (revived, True)}
        await until(lambda: {*changes} == wanted, "the changes published", seconds=60)
        figures(**{"all taken over": taken, "allowed": allowed, "changes published": time.monotonic() - begun})
        await world.replicas["b"].start()
        await world.until_shared(IPS, *"abc")
        await asyncio.sleep(STEADY_SECONDS)
        assert sorted(changes) == sorted(wanted)
    assert taken < allowed, "the Lease from when the others saw it renewed"

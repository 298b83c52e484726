"""Other replicas take over the addresses of a killed one: no readiness changes, no result is lost."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.e2e.fleet import Fleet, quantiles
from tests.e2e.world import World
from tests.scenarios.machine import watched

pytestmark = pytest.mark.any_metacontroller

LEASE = 3
COUNT = 24


@pytest.mark.world(replicas=3, lease=LEASE)
async def test_killed_replica_is_replaced_and_failures_are_found(world: World, figures: Callable[..., None]) -> None:
    async with watched() as machine, Fleet(world, COUNT) as fleet:
        await world.until_shared(fleet.names, "a", "b", "c")
        orphans = {name for name, owners in (await world.owners()).items() if owners == ["b"]}
        of_orphans = {ip for name in orphans for ip in fleet.addresses[name]}
        dying = {*sorted(of_orphans)[:2], next(ip for ip in fleet.ips if ip not in of_orphans)}

        killed = time.monotonic()
        await world.replicas["b"].kill()
        fleet.kill(dying)  # two of them are of the killed replica
        taken = await world.until_shared(fleet.names, "a", "c", seconds=LEASE + 10)
        await fleet.until_told(dict.fromkeys(dying, False), seconds=LEASE + 15)
        settled = time.monotonic()
        await asyncio.sleep(5)
        assert fleet.flips(killed, but=dying) == []
        assert sorted((ip, ready) for _, ip, ready in fleet.flips(killed)) == sorted((ip, False) for ip in dying)
        assert fleet.wrong_pace(settled, time.monotonic()) == {}
        first = fleet.first(killed)
        median, longest = quantiles(first[ip] for ip in of_orphans)
    allowed = LEASE + fleet.period + 1 + machine.withheld(killed, settled)
    assert longest < allowed, "the Lease from when the others saw it renewed, a period, and the way of both"
    figures(
        **{"lease, seconds": LEASE, "orphans": len(of_orphans)},
        **{
            "SIGKILL to the next probe, p50": median,
            "max": longest,
            "all taken over": taken,
            "failures reported": settled - killed,
        },
    )

"""A replica dies together with the API server or etcd: no readiness changes, and later failures are reported."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.e2e.fleet import Fleet
from tests.e2e.world import World

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

LEASE = 3
COUNT = 16
STEADY_SECONDS = 4.0
CONVERGED_SECONDS = 60.0


async def down_and_up(world: World, what: str, seconds: float) -> None:
    """SIGKILL, and started again after some seconds."""
    down, up = {
        "apiserver": (world.api.stop, world.api.start),
        "etcd": (world.api.kill_storage, world.api.start_storage),
    }[what]
    await down()
    await asyncio.sleep(seconds)
    await up()


@pytest.mark.parametrize("what", ["apiserver", "etcd"])
@pytest.mark.world(replicas=3, lease=LEASE)
async def test_api_server_outage_during_a_failover(world: World, what: str, figures: Callable[..., None]) -> None:
    """For longer than the Lease: then every Lease has expired, and one is not renewed by any replica."""
    async with Fleet(world, COUNT) as fleet:
        await world.until_shared(fleet.names, *"abc")
        orphans = [name for name, owners in (await world.owners()).items() if owners == ["b"]]
        others = [name for name in fleet.names if name not in orphans]
        dying = [fleet.addresses[name][0] for name in (orphans[0], *others[:2])]

        begun = time.monotonic()
        await world.replicas["b"].kill()
        fleet.kill(dying)
        await down_and_up(world, what, LEASE + 1.0)
        up = time.monotonic()
        await world.until_shared(fleet.names, "a", "c", seconds=CONVERGED_SECONDS)
        shared = time.monotonic()
        await fleet.until_told(dict.fromkeys(dying, False), seconds=CONVERGED_SECONDS)
        reported = time.monotonic()
        await asyncio.sleep(STEADY_SECONDS)
        assert fleet.wrong_pace(reported, time.monotonic()) == {}
        assert sorted((ip, ready) for _, ip, ready in fleet.flips(begun)) == sorted((ip, False) for ip in dying)
    assert all(world.replicas[letter].running for letter in "ac")
    figures(**{"down for": up - begun, "up to all shared": shared - up, "up to all reported": reported - up})

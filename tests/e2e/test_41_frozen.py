"""A replica that is stopped for longer than its Lease, and continues, changes no readiness and loses no result."""

import asyncio
import time
from collections.abc import Callable

import pytest
from starlette.requests import Request

from probe_sidecar.replicas.replica import STOPPED
from tests.e2e.backends import Mode
from tests.e2e.fleet import Fleet
from tests.e2e.world import World
from tests.until import until

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

LEASE = 3
COUNT = 16
WATCHED_SECONDS = 4.0


async def of_one(world: World, letter: str) -> list[str]:
    """The ExternalServices that a replica probes."""
    return sorted(name for name, owners in (await world.owners()).items() if owners == [letter])


@pytest.mark.world(replicas=2, lease=LEASE)
async def test_frozen_replica_is_replaced_and_returns(world: World, figures: Callable[..., None]) -> None:
    """Some of its addresses die just before, one while it is stopped; one is healthy again when it continues."""
    async with Fleet(world, COUNT) as fleet:
        await world.until_shared(fleet.names, "a", "b")
        first, second, third = (fleet.addresses[name][0] for name in (await of_one(world, "b"))[:3])
        begun = fleet.kill([first, second])
        await asyncio.sleep(fleet.period)  # one failed probe, below the threshold
        world.replicas["b"].pause()
        stopped = time.monotonic()
        taken = await world.until_shared(fleet.names, "a", seconds=LEASE + 10)
        fleet.kill([third])
        await fleet.until_told(dict.fromkeys((first, second, third), False))
        world.hosts.switch(first, Mode.HEALTHY)
        await fleet.until_told({first: True})
        world.replicas["b"].resume()
        resumed = time.monotonic()
        await world.until_shared(fleet.names, "a", "b")
        back = time.monotonic()
        await asyncio.sleep(WATCHED_SECONDS)
        assert fleet.wrong_pace(back, time.monotonic()) == {}
        assert [(ip, ready) for _, ip, ready in fleet.flips(begun) if ip == first] == [(first, False), (first, True)]
        rest = sorted((ip, ready) for _, ip, ready in fleet.flips(begun, but=[first]))
        assert rest == sorted([(second, False), (third, False)])
    assert STOPPED in world.replicas["b"].log(), "it was to lose its Lease"
    figures(**{"taken over after": taken, "stood still": resumed - stopped, "its share again after": back - resumed})


@pytest.mark.world(replicas=2, lease=LEASE, fronts=True)
async def test_late_write_of_a_frozen_replica_changes_nothing(world: World, figures: Callable[..., None]) -> None:
    """Two owners at once: the request of the former one with "not ready" is delayed while it is stopped; meanwhile the
    new one has found the address dead, and healthy again. The lock refuses the old result."""

    def of_status(request: Request) -> bool:
        return request.method == "PATCH" and request.url.path.endswith("/status")

    async with Fleet(world, COUNT) as fleet:
        await world.until_shared(fleet.names, "a", "b")
        name = (await of_one(world, "b"))[0]
        (ip,) = fleet.addresses[name]
        front = world.fronts["b"]
        front.at, front.delay = of_status, LEASE + 7.0
        begun = fleet.kill([ip])
        await until(lambda: front.delayed > 0, "its write on the way", seconds=10)
        sent = time.monotonic()
        world.replicas["b"].pause()
        await world.until_shared(fleet.names, "a", seconds=LEASE + 10)
        await fleet.until_told({ip: False})
        world.hosts.switch(ip, Mode.HEALTHY)
        await fleet.until_told({ip: True})
        assert time.monotonic() < sent + front.delay, "too slow to be a test: the old result has arrived already"
        revision = (await world.status(name))["revision"]
        world.replicas["b"].resume()
        front.delay = 0.0

        async def refused() -> bool:
            conflicts = await world.replicas["b"].metric('eso_status_writes_total{outcome="conflict"}')
            return conflicts > 0

        await until(refused, "the old result refused", seconds=LEASE + 15, every=0.1)
        late = time.monotonic() - sent
        await world.until_shared(fleet.names, "a", "b")
        await asyncio.sleep(WATCHED_SECONDS)
        assert (await world.status(name))["revision"] == revision, "it was written again"
        assert [(ip, ready) for _, ip, ready in fleet.flips(begun)] == [(ip, False), (ip, True)]
    figures(**{"arrived and refused after": late})

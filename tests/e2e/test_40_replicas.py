"""Other replicas take over the addresses of a lost one: no readiness changes, and no result is lost.

Clocks, late writes and any order of renewals: tests/unit/probe_sidecar/replicas/ and status/test_takeover_machine.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.e2e.backends import Mode
from tests.e2e.fleet import Fleet, quantiles
from tests.e2e.world import World
from tests.scenarios.machine import watched
from tests.until import until_equal

pytestmark = pytest.mark.any_metacontroller

LEASE = 3
STEADY_SECONDS = 4.0
HANDED_OVER_SECONDS = 1.0
"""Beside the lateness of the machine. Without releasing the Lease it would take LEASE - 1 at least."""


@asynccontextmanager
async def killed(world: World) -> AsyncIterator[None]:
    await world.replicas["b"].kill()
    yield
    await world.replicas["b"].start()


@asynccontextmanager
async def frozen(world: World) -> AsyncIterator[None]:
    world.replicas["b"].pause()
    yield
    world.replicas["b"].resume()


@asynccontextmanager
async def cut_off(world: World) -> AsyncIterator[None]:
    """It gets no response and no event of the API server: it stops before others begin."""
    front, replica = world.fronts["b"], world.replicas["b"]
    others = await world.owners("a", "c")
    front.flowing.clear()
    front.delay = 60.0
    await until_equal(lambda: replica.probed(world.namespace), set(), seconds=LEASE, every=0.02)
    assert await world.owners("a", "c") == others, "another replica has begun"
    yield
    front.delay = 0.0
    front.flowing.set()
    front.hang_up()


@asynccontextmanager
async def killed_with_the_api_server(world: World) -> AsyncIterator[None]:
    """For longer than the Lease: then every Lease has expired, and one is not renewed by any replica."""
    await world.replicas["b"].kill()
    await world.api.stop()
    await asyncio.sleep(LEASE + 1)
    await world.api.start()
    yield
    await world.replicas["b"].start()


@asynccontextmanager
async def killed_with_etcd(world: World) -> AsyncIterator[None]:
    await world.replicas["b"].kill()
    await world.api.kill_storage()
    await asyncio.sleep(LEASE + 1)
    await world.api.start_storage()
    yield
    await world.replicas["b"].start()


LONG = [frozen, cut_off, killed_with_the_api_server, killed_with_etcd]


@pytest.mark.parametrize("fault", [killed, *(pytest.param(one, marks=pytest.mark.nightly) for one in LONG)])
@pytest.mark.world(replicas=3, lease=LEASE, fronts=True)
async def test_lost_replica_is_replaced_and_returns(
    world: World, fault: Callable[[World], AbstractAsyncContextManager[None]], figures: Callable[..., None]
) -> None:
    """Meanwhile an address of it dies, one recovers, and an address of another replica dies."""
    async with watched() as machine, Fleet(world, 18) as fleet:
        await world.until_shared(fleet.names, *"abc")
        orphans = [name for name, owners in (await world.owners()).items() if owners == ["b"]]
        revived, dying, *_ = (fleet.addresses[name] for name in orphans)
        other = next(ip for name, ip in fleet.addresses.items() if name not in orphans)
        fleet.kill([revived])
        await fleet.until_told({revived: False})

        begun = time.monotonic()
        async with fault(world):
            fleet.kill([dying, other])
            world.hosts.switch(revived, Mode.HEALTHY)
            await world.until_shared(fleet.names, "a", "c", seconds=60)
            taken = time.monotonic() - begun
            await fleet.until_told({dying: False, other: False, revived: True}, seconds=60)
            reported = time.monotonic() - begun
            median, longest = quantiles(fleet.first(begun)[fleet.addresses[name]] for name in orphans)
        await world.until_shared(fleet.names, *"abc")
        back = time.monotonic()
        await asyncio.sleep(STEADY_SECONDS)
        assert fleet.wrong_pace(back, time.monotonic()) == {}
        changes = sorted((ip, ready) for _, ip, ready in fleet.flips(begun))
        assert changes == sorted([(dying, False), (other, False), (revived, True)])
    if fault is killed:
        allowed = LEASE + fleet.period + 1 + machine.withheld(begun, begun + taken)
        assert longest < allowed, "the Lease from when the others saw it renewed, a period, and the way of both"
    figures(
        **{"lease, seconds": LEASE, "orphans": len(orphans), "all taken over": taken},
        **{"to the next probe, p50": median, "max": longest, "changes reported": reported},
    )


@pytest.mark.nightly
@pytest.mark.world(replicas=1, lease=LEASE)
async def test_scaling_from_one_to_five_to_two(world: World, figures: Callable[..., None]) -> None:
    async with watched() as machine, Fleet(world, 40) as fleet:
        begun = time.monotonic()
        await asyncio.gather(*(world.replica(letter).start() for letter in "bcde"))
        await world.until_shared(fleet.names, *"abcde")
        shared = time.monotonic()
        await asyncio.sleep(STEADY_SECONDS)
        assert fleet.wrong_pace(shared, time.monotonic()) == {}, "with five"
        told = time.monotonic()
        await asyncio.gather(*(world.replicas[letter].stop() for letter in "cde"))
        await world.until_shared(fleet.names, "a", "b")
        handed_over, settled = time.monotonic() - told, time.monotonic()
        await asyncio.sleep(STEADY_SECONDS)
        assert fleet.wrong_pace(settled, time.monotonic()) == {}, "with two"
        assert fleet.flips(begun) == []
    assert [await world.lease(letter) for letter in "cde"] == [None] * 3
    assert handed_over < HANDED_OVER_SECONDS + machine.withheld(told, settled)
    assert [line for replica in world.replicas.values() for line in replica.complaints()] == []
    figures(**{"to the last share taken over": handed_over})

"""A replica that loses the API server stops before others begin, and later continues from their results."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from probe_sidecar.replicas.replica import STOPPED
from tests.e2e.backends import Mode
from tests.e2e.fleet import Fleet
from tests.e2e.island import Island
from tests.e2e.world import World
from tests.until import until

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

LEASE = 5
COUNT = 16
STEADY_SECONDS = 5.0


@pytest.mark.world(replicas=1, lease=LEASE)
async def test_replica_without_api_server_stops_and_is_replaced(
    world: World, tmp_path: Path, figures: Callable[..., None]
) -> None:
    """Its packets to the API server are dropped, in a network of its own; those to the addresses are not."""
    async with Island(tmp_path, world.hosts, world.credentials("b")) as island, Fleet(world, COUNT) as fleet:
        lonely = world.replica(
            "b", settings=island.pages, under=island.under, host=island.host, kubeconfig=island.kubeconfig
        )
        await lonely.start()
        await world.until_shared(fleet.names, "a", "b")
        names = [name for name, owners in (await world.owners()).items() if owners == ["b"]]
        dead, revived = (fleet.addresses[name][0] for name in names[:2])
        fleet.kill([revived])
        await fleet.until_told({revived: False})

        cut = time.monotonic()
        with island.cut() as vanished:
            fleet.kill([dead])
            world.hosts.switch(revived, Mode.HEALTHY)

            async def idle() -> bool:
                return not (await lonely.shown())["addresses"]

            stopped = await until(idle, "the one cut off to stop", seconds=LEASE, every=0.02)
            assert await world.owners("a") == {name: ["a"] for name in set(fleet.names) - set(names)}, (
                "another replica has begun"
            )
            await world.until_shared(fleet.names, "a", seconds=LEASE + 5)
            taken = time.monotonic() - cut
            await fleet.until_told({dead: False, revived: True})
            reported = time.monotonic() - cut
            assert STOPPED in lonely.log()
            assert vanished() > 0

        fixed = time.monotonic()
        await world.until_shared(fleet.names, "a", "b")
        back = time.monotonic()
        await asyncio.sleep(STEADY_SECONDS)
        assert fleet.wrong_pace(back, time.monotonic()) == {}
        assert sorted((ip, ready) for _, ip, ready in fleet.flips(cut)) == sorted([(dead, False), (revived, True)])
        await lonely.stop()
    figures(
        **{"lease, seconds": LEASE, "cut to its stop": stopped, "cut to all taken over": taken},
        **{"cut to what happened meanwhile reported": reported, "fixed to its share again": back - fixed},
    )

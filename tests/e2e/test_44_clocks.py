"""Replicas with clocks hours apart share, fail over and publish as usual: no times are compared."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from playground.client import SIDECAR
from tests.e2e.api import Missing
from tests.e2e.backends import Mode
from tests.e2e.fleet import Fleet, quantiles
from tests.e2e.world import World

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

LEASE = 3
COUNT = 18
STEADY_SECONDS = 4.0
HOURS = {"b": "+6h", "c": "-4m"}
"""Hours ahead, and behind: less than the age of the certificates of the control plane."""

LIBRARY = "libfaketime.so.1"
PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


def shifted(by: str) -> dict[str, str]:
    """Shifts the wall clock of a process only; Missing without libfaketime (Debian: faketime)."""
    found = [file for place in PLACES for file in sorted(Path("/").glob(f"{place[1:]}/{LIBRARY}"))]
    if not found or shutil.which("faketime") is None:
        raise Missing(f"clocks are shifted by {LIBRARY}: apt-get install faketime")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


async def written(world: World, mark: int) -> int:
    """The number of statuses that the sidecars wrote since a mark."""
    await asyncio.sleep(STEADY_SECONDS)
    return sum(write.user == SIDECAR and write.subresource == "status" for write in world.writes(mark))


@pytest.mark.world(replicas=1, lease=LEASE)
async def test_clock_differences_of_hours_change_nothing(world: World, figures: Callable[..., None]) -> None:
    """A replica takes over a status with times in its past or future, and writes nothing."""
    for letter, by in HOURS.items():
        world.replica(letter, settings=shifted(by))
    async with Fleet(world, COUNT) as fleet:
        mark, joining = world.mark(), time.monotonic()
        await asyncio.gather(*(world.replicas[letter].start() for letter in HOURS))
        await world.until_shared(fleet.names, *"abc")
        told = [(await world.lease(letter) or {})["spec"]["renewTime"] for letter in "abc"]
        begun = time.monotonic()
        assert await written(world, mark) == 0, "by those who joined"
        assert fleet.wrong_pace(begun, time.monotonic()) == {}

        of_b = [
            ip for name, owners in (await world.owners()).items() if owners == ["b"] for ip in fleet.addresses[name]
        ]
        fleet.kill(of_b)
        await fleet.until_told(dict.fromkeys(of_b, False))
        mark, killed = world.mark(), time.monotonic()
        await world.replicas["b"].kill()
        await world.until_shared(fleet.names, "a", "c", seconds=LEASE + 10)
        assert await written(world, mark) == 0, "by those who took over"
        median, longest = quantiles(seconds for ip, seconds in fleet.first(killed).items() if ip in of_b)

        world.hosts.switch(of_b, Mode.HEALTHY)
        await fleet.until_told(dict.fromkeys(of_b, True))
        flips = sorted((ip, ready) for _, ip, ready in fleet.flips(joining))
        assert flips == sorted((ip, ready) for ip in of_b for ready in (False, True))
    assert world.replicas["c"].complaints() == []
    figures(
        **{"renewed at, by their clocks": " ".join(stamp[:16] for stamp in told)},
        **{"SIGKILL to the next probe, p50": median, "max": longest},
    )

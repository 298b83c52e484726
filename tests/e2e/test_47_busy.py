"""A prober that gets almost no CPU is late and changes no readiness; it still finds real failures."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from playground.processes import Component
from tests.e2e.fleet import Fleet
from tests.e2e.process import Sidecar
from tests.e2e.world import World

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

HOGS = 16
HOG_SECONDS = 40
"""They end after these seconds."""

BUSY_SECONDS = 12.0
NICE, NICER = 5, 19
"""Of the hogs, and of the prober: with the scheduler's weights (335 and 15) it gets a 350th of the core."""

HOG = f"import time\nend = time.monotonic() + {HOG_SECONDS}\nwhile time.monotonic() < end: pass"


@asynccontextmanager
async def hogs(core: str, directory: Path) -> AsyncIterator[None]:
    """Processes that use all CPU time of a core."""
    command = ["nice", f"-n{NICE}", "taskset", "-c", core, sys.executable, "-c", HOG]
    greedy = [
        Component(f"hog-{number}", command, log=directory / f"hog-{number}.log", ready=lambda: True)
        for number in range(HOGS)
    ]
    for one in greedy:
        one.start()
        weigh(one.pid, NICE)
    try:
        yield
    finally:
        for one in greedy:
            one.kill()


def weigh(pid: int, nice: int) -> None:
    """Sets the nice value; with sched_autogroup it would count within a session only, so also that of the session."""
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(str(nice))


@pytest.mark.world(replicas=1, lease=15)
async def test_busy_core_changes_no_readiness(world: World, tmp_path: Path, figures: Callable[..., None]) -> None:
    """With a failureThreshold of one, a probe that fails without evidence would be reported."""
    core = str(max(os.sched_getaffinity(0)))
    await world.replicas["a"].stop()
    prober = world.replica("a", under=["nice", f"-n{NICER}", "taskset", "-c", core])
    await prober.start()
    async with Fleet(world, 60, probe={"failureThreshold": 1}) as fleet:
        before = await lateness(prober)
        begun = time.monotonic()
        async with hogs(core, tmp_path):
            weigh(prober.component.pid, NICER)
            await asyncio.sleep(BUSY_SECONDS / 2)
            dying = fleet.ips[::12]
            fleet.kill(dying)
            await asyncio.sleep(BUSY_SECONDS / 2)
            during = fleet.flips(begun, but=dying)
            weigh(prober.component.pid, 0)
        found = await fleet.until_told(dict.fromkeys(dying, False), seconds=60)
        assert during == []
        assert sorted((ip, ready) for _, ip, ready in fleet.flips(begun)) == sorted((ip, False) for ip in dying)
        starts, late = (now - then for now, then in zip(await lateness(prober), before, strict=True))
        away = await prober.metric("eso_prober_away_seconds_total")
    assert late > 0, "the hogs were to be felt"
    figures(
        **{"probes started": starts, "late by more than 0.1 s": late, "away, seconds": away},
        **{"failures reported after the hogs": found},
    )


async def lateness(prober: Sidecar) -> tuple[float, float]:
    """Probes started so far, and those of them that were late by more than 0.1 s."""
    metrics = await prober.metrics()
    starts = metrics["eso_schedule_lateness_seconds_count"]
    return starts, starts - metrics['eso_schedule_lateness_seconds_bucket{le="0.1"}']

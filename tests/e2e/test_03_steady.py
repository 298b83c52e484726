"""While nothing changes nothing is written: 0 writes by sidecar, hook and composite controller, whatever they ask."""

import asyncio
from collections.abc import Callable

import pytest

from tests.e2e.world import OURS, World
from tests.scenarios.steady import manifests, steady

QUIET_SECONDS = 5.0
"""Once more, when the Events on the first results have long been written: of these there are none either."""


@pytest.mark.kubernetes("loop")
@pytest.mark.world(resync=1)
async def test_resyncs_write_nothing(world: World, figures: Callable[..., None]) -> None:
    parents, seconds = 50, 20.0
    await nobody_writes(world, parents, seconds, figures)


@pytest.mark.nightly
@pytest.mark.world(resync=1)
async def test_minute_of_resyncs_writes_nothing(world: World, figures: Callable[..., None]) -> None:
    await nobody_writes(world, 50, 60.0, figures)


async def nobody_writes(world: World, parents: int, seconds: float, figures: Callable[..., None]) -> None:
    report = await steady(world, manifests(parents, addresses=4), seconds=seconds)
    figures(report)
    assert report.passed, report.as_lines()
    mark = world.mark()
    await asyncio.sleep(QUIET_SECONDS)
    assert [entry for entry in world.api.entries(mark) if entry.write and entry.user in OURS] == [], "Events included"

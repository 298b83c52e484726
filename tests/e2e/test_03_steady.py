"""While nothing changes nobody writes: 0 writes by sidecar, hook and composite controller, whatever they ask."""

import asyncio
from collections.abc import Callable

import pytest

from playground.scenarios.steady import manifests, steady
from tests.e2e.world import OURS, World

QUIET_SECONDS = 5.0
"""Once more, when the Events on the first results have long been written: of these there are none either."""


@pytest.mark.world(resync=1)
async def test_a_resync_every_second_and_no_write(world: World, figures: Callable[..., None]) -> None:
    parents, addresses, seconds = (50, 4, 60.0) if world.api.kind == "real" else (5, 4, 5.0)
    report = await steady(world, manifests(parents, addresses), seconds=seconds)
    figures(report)
    assert report.passed, report.as_lines()
    mark = world.mark()
    await asyncio.sleep(QUIET_SECONDS)
    assert [entry for entry in world.api.entries(mark) if entry.write and entry.user in OURS] == [], "Events included"

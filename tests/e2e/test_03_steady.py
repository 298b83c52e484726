"""While nothing changes nothing is written: 0 writes by sidecar, hook and composite controller, at any resync rate."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.manifests import external_service
from tests.e2e.world import OURS, World, ready

PARENTS, ADDRESSES = 50, 4
LATER_SECONDS = 5.0
"""After the measurement, when the Events about the first results have been written: no more Events either."""


@pytest.mark.kubernetes("loop")
@pytest.mark.world(resync=1)
@pytest.mark.parametrize("seconds", [20.0, pytest.param(60.0, marks=pytest.mark.nightly)])
async def test_resyncs_write_nothing(world: World, seconds: float, figures: Callable[..., None]) -> None:
    parents = [_manifest(number) for number in range(1, PARENTS + 1)]
    for parent in parents:
        await world.apply(parent)
    for parent in parents:
        await world.until_published(parent["metadata"]["name"], ready(parent["spec"]["ips"]))
    await world.until_calm()
    mark, probes, syncs = world.mark(), await world.probes(), world.syncs()
    await asyncio.sleep(seconds)
    writes, probes, syncs = world.writes(mark), await world.probes() - probes, world.syncs() - syncs
    by_whom = Counter(f"{write.user} {write.verb} {write.resource}" for write in writes)
    figures(writes=dict(by_whom), probes=probes, syncs=syncs, seconds=seconds)
    assert writes == []
    assert probes >= 0.5 * PARENTS * ADDRESSES * (seconds - 1)
    assert syncs >= 0.5 * PARENTS * (seconds - 1)
    await asyncio.sleep(LATER_SECONDS)
    assert [entry for entry in world.api.entries(mark) if entry.write and entry.user in OURS] == [], "Events included"


def _manifest(number: int) -> dict[str, Any]:
    name, ips = f"steady-{number}", [f"10.20.{number}.{last}" for last in range(1, ADDRESSES + 1)]
    return external_service(name, ips, hosts=[{"host": f"{name}.example.com", "path": ""}])

"""Objects that are replaced while the API server is unreachable are noticed, although the watch cannot be resumed.

Cut and refused watches: tests/unit/probe_sidecar/kube/test_reflector.py, and the soak.
"""

import asyncio
import itertools

import pytest

from playground.client import CONTROLLER, SERVICES, SIDECAR
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.scenarios.timeline import followed
from tests.until import until, until_equal

HEALTHY, FAILING = IPS = ("10.0.100.10", "10.0.100.11")
SETTLED = ({"web": True, "born": True, "gone": False, "brief": False}, {"web", "born"})
"""Which Services there are, and which ExternalServices are probed."""


@pytest.mark.world(fronts=True)
async def test_objects_replaced_during_a_watch_outage_are_noticed(world: World) -> None:
    """The API server is unreachable for a while; then the revision to continue from is compacted: 410."""
    fronts = [world.fronts[SIDECAR], world.fronts[CONTROLLER]]
    await world.apply(external_service("web", IPS))
    await world.apply(external_service("gone", ["10.0.100.12"]))
    await world.until_published("gone", {"10.0.100.12": True})
    await world.until_published("web", ready(IPS))

    async def settled() -> tuple[dict[str, bool], set[str]]:
        return {name: await world.has(name, SERVICES) for name in SETTLED[0]}, await world.sidecar.probed(
            world.namespace
        )

    async with followed(world.client, world.namespace, "web") as timeline:
        begun = len(timeline.published)
        for front in fronts:
            await front.stop()
        await world.delete("gone")
        await world.apply(external_service("born", ["10.0.100.13"]))
        await world.apply(external_service("brief", ["10.0.100.14"]))
        await world.delete("brief")
        world.hosts.switch(FAILING, Mode.REFUSE)
        await asyncio.sleep(2)
        await world.api.forget_history()
        for front in fronts:
            await front.start()
        wanted = ready(IPS, but=[FAILING])
        await until(lambda: timeline.ready == wanted, f"{FAILING} out", seconds=60, every=0.02)
        await world.until_published("born", {"10.0.100.13": True})
        await until_equal(settled, SETTLED, every=0.1)
        states = [ready(IPS), *(moment.ready for moment in timeline.published[begun:])]
        changes = [after for before, after in itertools.pairwise(states) if before != after]
        assert changes == [wanted]
    assert "410 Expired" in world.sidecar.log(), "it was to meet a 410"
    assert world.sidecar.running

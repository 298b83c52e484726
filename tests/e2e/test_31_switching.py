"""Whatever form the endpoints are switched to on a live system, none of them is out of the slices for a moment."""

import itertools
from collections.abc import Callable

import pytest

from app.children.publishing import HANDOVER
from playground.cluster import ENDPOINTS
from playground.until import until
from tests.e2e.manifests import external_service
from tests.e2e.slices import MIRROR, OURS, consuming, our_slices
from tests.e2e.world import World, ready

IPS = ("10.20.40.10", "10.20.40.11")
MANAGERS = {"Endpoints": {MIRROR}, "EndpointSlice": {OURS}, "Both": {OURS}}
FORMS = ("Endpoints", "Both", "EndpointSlice", "Endpoints", "EndpointSlice", "Both", "Endpoints")


@pytest.mark.parametrize("world", [pytest.param("real", marks=pytest.mark.e2e)], indirect=True)
@pytest.mark.world(resync=1)
async def test_every_switch(world: World, figures: Callable[..., None]) -> None:
    """The stand-in's API has no mirroring controller: only a real one can show this."""
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    async with consuming(world, "web") as consumer:
        await until(lambda: consumer.ready() == frozenset(IPS), "mirrored", seconds=60)
        begun = len(consumer.changes)
        for old, form in itertools.pairwise(FORMS):
            await world.hook.restart_with({"ESO_ENDPOINTS": form})
            seconds = HANDOVER.total_seconds() + 60

            async def switched(form: str = form) -> bool:
                there = await world.get("web", kind=ENDPOINTS) is not None
                return consumer.managers() == MANAGERS[form] and there is (form != "EndpointSlice")

            took = await until(switched, f"from {old} to {form}", seconds=seconds, every=0.1)
            figures(**{f"{old}_to_{form}_seconds": round(took, 1)})
        assert [sorted(shown) for _, shown in consumer.changes[begun:] if shown != frozenset(IPS)] == []
    assert await our_slices(world, "web") == {}

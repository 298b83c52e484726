"""While the form of the endpoints is switched, no ready address leaves the slices and no dead one is served."""

import itertools

import pytest

from app.children.publishing import HANDOVER
from playground.client import ENDPOINTS
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.slices import MANAGERS, consuming, our_slices
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.20.40.10", "10.20.40.11")
DEAD, DRAINED = "10.20.40.12", "10.20.40.13"
FORMS = ("Endpoints", "Both", "EndpointSlice", "Endpoints", "EndpointSlice", "Both", "Endpoints")


@pytest.mark.world(resync=1, endpoints="Endpoints")
async def test_switching_endpoints_form_keeps_ready_addresses(world: World) -> None:
    """The stand-in has no mirroring controller. A switch from Endpoints begins with those of an earlier hook."""
    await world.apply(external_service("web", [*IPS, DEAD, DRAINED], disabledIPs=[DRAINED]))
    world.hosts.switch(DEAD, Mode.REFUSE)
    await world.until_published("web", ready(IPS))
    async with consuming(world, "web") as consumer:
        await until(lambda: consumer.ready() == frozenset(IPS), "mirrored", seconds=60)
        begun = len(consumer.changes)
        for old, form in itertools.pairwise(FORMS):
            await world.composite.stop()
            if old == "Endpoints":
                await made_by_an_earlier_hook(world)
                await until(lambda: DEAD in consumer.serving(), "the dead address mirrored", seconds=60)
            mark = len(consumer.served)
            await world.hook.restart_with({"ESO_ENDPOINTS": form})
            await world.limit(world.setup.qps, world.setup.burst)

            async def switched(form: str = form) -> bool:
                there = await world.get("web", kind=ENDPOINTS) is not None
                return consumer.managers() == MANAGERS[form] and there is (form != "EndpointSlice")

            seconds = HANDOVER.total_seconds() + 60
            await until(switched, f"from {old} to {form}", seconds=seconds, every=0.1)
            assert consumer.serving() - {DRAINED} == frozenset(IPS)
            if old != "Endpoints":
                assert [sorted(shown) for _, shown in consumer.served[mark:] if DEAD in shown] == []
        assert [sorted(shown) for _, shown in consumer.changes[begun:] if shown != frozenset(IPS)] == []
        assert await our_slices(world, "web") == {}
        world.hosts.switch([*IPS, DRAINED], Mode.REFUSE)
        await until(lambda: consumer.serving() == frozenset(), "no address in any slice", seconds=60)
    assert "subsets" not in (await world.get("web", kind=ENDPOINTS) or {"subsets": "no Endpoints"})
    await world.until_synced()


async def made_by_an_earlier_hook(world: World) -> None:
    """Mirrored Endpoints with addresses that are not ready, as an earlier hook made them."""
    made = await world.get("web", kind=ENDPOINTS)
    assert made is not None
    (subset,) = made["subsets"]
    left_out = [{"ip": DEAD}, {"ip": DRAINED}]
    await world.patch("web", {"subsets": [{**subset, "notReadyAddresses": left_out}]}, kind=ENDPOINTS)

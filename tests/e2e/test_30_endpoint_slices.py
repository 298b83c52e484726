"""Each address keeps its EndpointSlice: a transition rewrites one, and changed addresses move no others."""

import pytest

from playground.client import ENDPOINT_SLICES
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.slices import our_endpoints, our_slices
from tests.e2e.world import World
from tests.until import until, until_equal

HEALTHY, UNHEALTHY = (True, True, False), (False, False, False)
MANY = [f"10.20.31.{number}" for number in range(1, 121)]


@pytest.mark.world(endpoints="EndpointSlice", resync=1)
async def test_each_address_keeps_its_slice(world: World) -> None:
    await world.apply(external_service("web", MANY))
    await until_equal(lambda: our_endpoints(world, "web"), dict.fromkeys(MANY, HEALTHY), every=0.1)
    place = {ip: name for name, held in (await our_slices(world, "web")).items() for ip in held}
    assert sorted(set(place.values())) == ["web-ipv4-0", "web-ipv4-1"]
    mark = world.mark()
    world.hosts.switch(MANY[7], Mode.REFUSE)
    await until_equal(lambda: our_endpoints(world, "web"), dict.fromkeys(MANY, HEALTHY) | {MANY[7]: UNHEALTHY})

    def rewritten() -> list[str]:
        return [write.name for write in world.writes(mark) if write.resource == ENDPOINT_SLICES.plural]

    await until(lambda: len(rewritten()) > 0, "its entry in the audit log", seconds=60)
    assert rewritten() == [place[MANY[7]]]

    left = [ip for ip in MANY if place[ip] == "web-ipv4-1"]
    await world.patch("web", {"spec": {"ips": left}})
    await until_equal(lambda: our_slices(world, "web"), {"web-ipv4-1": dict.fromkeys(left, HEALTHY)}, every=0.1)
    await world.until_synced()

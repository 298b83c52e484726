"""Our EndpointSlices have all conditions of each address, which keeps its slice; no dead address is mirrored."""

from collections.abc import Callable

import pytest

from playground.client import ENDPOINT_SLICES, ENDPOINTS
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.slices import consuming, our_endpoints, our_slices
from tests.e2e.world import World, ready
from tests.until import until, until_equal

IPS = ("10.20.30.10", "10.20.30.11", "10.20.30.12")
HEALTHY, UNHEALTHY = (True, True, False), (False, False, False)
DRAINED, DRAINED_AND_DEAD = (False, True, True), (False, False, True)
MANY = [f"10.20.31.{number}" for number in range(1, 121)]


@pytest.mark.world(endpoints="EndpointSlice")
@pytest.mark.stand_in
async def test_slice_conditions_follow_readiness(world: World) -> None:
    await world.apply(external_service("web", IPS, disabledIPs=[IPS[2]]))

    async def shows(*triples: tuple[bool, bool, bool]) -> None:
        await until_equal(lambda: our_endpoints(world, "web"), dict(zip(IPS, triples, strict=True)))

    await shows(HEALTHY, HEALTHY, DRAINED)
    world.hosts.switch([IPS[0], IPS[2]], Mode.REFUSE)
    await shows(UNHEALTHY, HEALTHY, DRAINED_AND_DEAD)
    world.hosts.switch(IPS, Mode.HEALTHY)
    await shows(HEALTHY, HEALTHY, DRAINED)
    assert await world.get("web", kind=ENDPOINTS) is None


async def test_default_writes_equal_slices_and_endpoints_unmirrored(world: World) -> None:
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    world.hosts.switch(IPS[0], Mode.REFUSE)
    await world.until_published("web", ready(IPS, but=IPS[:1]))
    await until_equal(lambda: our_endpoints(world, "web"), dict.fromkeys(IPS, HEALTHY) | {IPS[0]: UNHEALTHY})
    found = await world.client.get(ENDPOINT_SLICES.path(world.namespace))
    assert [one["metadata"]["name"] for one in found["items"]] == ["web-ipv4-0"]


@pytest.mark.world(endpoints="Endpoints", resync=1)
async def test_endpoints_alone_contain_only_ready_addresses(world: World) -> None:
    """Without a ready address there is an object without `subsets`, and it is not written again."""
    await world.apply(external_service("web", IPS, disabledIPs=[IPS[2]]))
    await world.until_published("web", ready(IPS[:2]))
    async with consuming(world, "web") as consumer:
        await until(lambda: consumer.serving() == frozenset(IPS[:2]), "two mirrored", seconds=60)
        world.hosts.switch(IPS, Mode.REFUSE)
        await world.until_published("web", {})
        await until(lambda: consumer.serving() == frozenset(), "no address in any slice", seconds=60)
    assert "subsets" not in (await world.get("web", kind=ENDPOINTS) or {"subsets": "no Endpoints"})
    await world.until_synced()


@pytest.mark.world(endpoints="EndpointSlice", resync=1)
async def test_each_address_keeps_its_slice(world: World, figures: Callable[..., None]) -> None:
    """One transition rewrites one slice. Changed addresses move no others, and an empty slice is deleted."""
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
    figures(slices_rewritten=len(rewritten()))
    assert rewritten() == [place[MANY[7]]]

    left = [ip for ip in MANY if place[ip] == "web-ipv4-1"]
    await world.patch("web", {"spec": {"ips": left}})
    await until_equal(lambda: our_slices(world, "web"), {"web-ipv4-1": dict.fromkeys(left, HEALTHY)}, every=0.1)
    await world.until_synced()

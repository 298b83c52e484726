"""Our EndpointSlices have all conditions of each address, which keeps its slice; no dead address is mirrored."""

from collections.abc import Callable

import pytest

from playground.client import ENDPOINT_SLICES, ENDPOINTS
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.slices import consuming, our_endpoints, our_slices
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.20.30.10", "10.20.30.11", "10.20.30.12")
HEALTHY, UNHEALTHY = (True, True, False), (False, False, False)
DRAINED, DRAINED_AND_DEAD = (False, True, True), (False, False, True)
MANY = [f"10.20.31.{number}" for number in range(1, 251)]
SIXES = ["2001:db8::1", "2001:db8::2"]


@pytest.mark.world(endpoints="EndpointSlice")
@pytest.mark.stand_in
async def test_slice_conditions_follow_readiness(world: World) -> None:
    await world.apply(external_service("web", IPS, disabledIPs=[IPS[2]]))

    async def shows(*triples: tuple[bool, bool, bool]) -> None:
        async def holds() -> bool:
            return await our_endpoints(world, "web") == dict(zip(IPS, triples, strict=True))

        await until(holds, f"slices with {triples}", seconds=60, every=0.05)

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

    async def holds() -> bool:
        return await our_endpoints(world, "web") == dict.fromkeys(IPS, HEALTHY) | {IPS[0]: UNHEALTHY}

    await until(holds, "the same in our slices", seconds=60, every=0.05)
    found = await world.client.get(ENDPOINT_SLICES.path(world.namespace))
    assert [one["metadata"]["name"] for one in found["items"]] == ["web-ipv4-0"]


@pytest.mark.world(endpoints="Endpoints", resync=1)
async def test_endpoints_alone_contain_only_ready_addresses(world: World) -> None:
    """Without a ready address there is an object without `subsets`, and it is not written again."""
    await world.apply(external_service("web", IPS, disabledIPs=[IPS[2]]))
    await world.until_published("web", ready(IPS[:2]))
    async with consuming(world, "web") as consumer:
        if world.api.kind == "real":
            await until(lambda: consumer.ready() == frozenset(IPS[:2]), "two mirrored", seconds=60)
        world.hosts.switch(IPS, Mode.REFUSE)
        await world.until_published("web", {})
        await until(lambda: consumer.serving() == frozenset(), "no address in any slice", seconds=60)
    assert "subsets" not in (await world.get("web", kind=ENDPOINTS) or {"subsets": "no Endpoints"})
    await comes_to_rest(world)


@pytest.mark.world(endpoints="EndpointSlice")
async def test_one_transition_rewrites_one_slice(world: World, figures: Callable[..., None]) -> None:
    await world.apply(external_service("web", MANY[:120]))

    async def all_ready() -> bool:
        return await our_endpoints(world, "web") == dict.fromkeys(MANY[:120], HEALTHY)

    await until(all_ready, "120 ready", seconds=60, every=0.1)
    place = {ip: name for name, held in (await our_slices(world, "web")).items() for ip in held}
    assert sorted(set(place.values())) == ["web-ipv4-0", "web-ipv4-1"]
    mark = world.mark()
    world.hosts.switch(MANY[7], Mode.REFUSE)

    async def one_is_not() -> bool:
        return await our_endpoints(world, "web") == dict.fromkeys(MANY[:120], HEALTHY) | {MANY[7]: UNHEALTHY}

    await until(one_is_not, "one of 120 not ready", seconds=60, every=0.05)

    def rewritten() -> list[str]:
        return [write.name for write in world.writes(mark) if write.resource == ENDPOINT_SLICES.plural]

    await until(lambda: len(rewritten()) > 0, "its entry in the audit log", seconds=60)
    figures(slices_rewritten=len(rewritten()))
    assert rewritten() == [place[MANY[7]]]


@pytest.mark.world(endpoints="EndpointSlice", resync=1)
async def test_changed_addresses_leave_other_slices_unchanged(world: World) -> None:
    manifest = external_service("web", [*MANY, *SIXES])
    del manifest["spec"]["readinessProbe"]
    await world.apply(manifest)

    async def published(ips: list[str]) -> dict[str, str]:
        async def holds() -> bool:
            return await our_endpoints(world, "web") == dict.fromkeys(ips, HEALTHY)

        await until(holds, f"{len(ips)} addresses", seconds=60, every=0.1)
        return {ip: name for name, held in (await our_slices(world, "web")).items() for ip in held}

    before = await published([*MANY, *SIXES])
    assert sorted(set(before.values())) == ["web-ipv4-0", "web-ipv4-1", "web-ipv4-2", "web-ipv6-0"]
    wanted = [*MANY[10:], "10.20.32.1", SIXES[1]]
    await world.patch("web", {"spec": {"ips": wanted}})
    after = await published(wanted)
    assert {ip: name for ip, name in after.items() if ip in before} == {ip: before[ip] for ip in wanted if ip in before}
    await world.patch("web", {"spec": {"ips": [SIXES[1]]}})
    await published([SIXES[1]])

    async def one_is_left() -> bool:
        return list(await our_slices(world, "web")) == ["web-ipv6-0"]

    await until(one_is_left, "the empty slices deleted", seconds=60, every=0.1)
    await comes_to_rest(world)


async def comes_to_rest(world: World) -> None:
    """Waits until three syncs have passed without a write."""
    for _ in range(5):
        mark = world.mark()
        await more_syncs(world, 3)
        if not (writes := world.writes(mark)):
            return
    raise AssertionError(f"each sync writes: {writes}")


async def more_syncs(world: World, number: int) -> None:
    enough = world.syncs() + number
    await until(lambda: world.syncs() >= enough, f"{number} syncs", seconds=60, every=0.1)

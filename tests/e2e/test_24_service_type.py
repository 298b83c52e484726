"""A Service of type NodePort or LoadBalancer keeps what the cluster allocates, is reverted, and can change its type."""

from typing import Any

import pytest

from playground.client import SERVICES
from tests.e2e.manifests import external_service
from tests.e2e.test_16_edited_service import edit, service
from tests.e2e.world import World
from tests.until import until, until_equal

Object = dict[str, Any]

IPS = ("10.0.100.10",)
SECONDS = 30.0
KINDS = ("NodePort", "LoadBalancer")


async def until_type(world: World, kind: str) -> Object:
    """The Service once it has this type."""
    found: Object = {}

    async def holds() -> bool:
        nonlocal found
        found = (await world.get("front", kind=SERVICES) or {}).get("spec") or {}
        return found.get("type") == kind

    await until(holds, f"type {kind}", seconds=SECONDS, every=0.05)
    return found


@pytest.mark.world(resync=2)
async def test_allocated_node_ports_stay_and_edits_are_reverted(world: World) -> None:
    await world.apply(external_service("front", IPS, service={"clusterIP": "Auto"}))
    await world.until_published("front", dict.fromkeys(IPS, True))
    allocated = None
    for kind in KINDS:
        await world.patch("front", {"spec": {"service": {"type": kind}}})
        (port,) = (await until_type(world, kind))["ports"]
        await world.until_calm()
        before = await service(world, "front")
        assert before["spec"]["ports"] == [port]
        assert port["nodePort"] == (allocated or port["nodePort"])
        allocated = port["nodePort"]
        for change in ({"spec": {"externalTrafficPolicy": "Local"}}, {"spec": {"type": "ClusterIP"}}):
            await edit(world, "front", change)
            again = await put_back_but_for_the_node_port(world, before)
            allocated = again["spec"]["ports"][0]["nodePort"]
            before = again
    await world.patch("front", {"spec": {"service": {"type": "ClusterIP"}}})
    (port,) = (await until_type(world, "ClusterIP"))["ports"]
    assert "nodePort" not in port
    await world.until_calm()
    assert not (await world.status("front")).get("children")


async def put_back_but_for_the_node_port(world: World, before: Object) -> Object:
    """An edit of the type releases the port: the cluster then allocates another one."""
    (port,) = before["spec"]["ports"]

    async def without_it() -> Object:
        found = await service(world, "front")
        for one in found["spec"]["ports"]:
            one["nodePort"] = port["nodePort"]
        return found

    await until_equal(without_it, before)
    return await service(world, "front")

"""A Service that was edited by hand is reverted, or `status.children` has the command that reverts it.

What the cluster allocates to one of type NodePort or LoadBalancer stays.
"""

import contextlib
import json
import shlex
from collections.abc import AsyncIterator
from typing import Any

import pytest

from playground.client import SERVICES, Kind
from tests.e2e.manifests import external_service
from tests.e2e.slices import consuming
from tests.e2e.world import World
from tests.until import until, until_equal

Object = dict[str, Any]

SECONDS = 60.0
IPS = ("10.0.100.10",)
PODS, POD_IP = Kind("v1", "pods", "Pod", namespaced=True), "10.0.100.77"
NODES = Kind("v1", "nodes", "Node", namespaced=False)
NODE = "edited-service"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
TYPES = ("NodePort", "LoadBalancer")


def ports(*ports: Object) -> Object:
    return {"spec": {"ports": list(ports)}}


EXTERNAL_NAME = {"type": "ExternalName", "externalName": "a.example", "clusterIP": None, "clusterIPs": None}
EDITS: dict[str, tuple[str, Object]] = {
    "port options": ("web", ports({"port": 80, "name": "a", "targetPort": 81, "appProtocol": "h2c"})),
    "no ports": ("web", {"spec": {"ports": None}}),
    "publishNotReadyAddresses": ("web", {"spec": {"publishNotReadyAddresses": True}}),
    "sessionAffinity": ("web", {"spec": {"sessionAffinity": "ClientIP"}}),
    "externalIPs": ("web", {"spec": {"externalIPs": ["10.0.100.99"]}}),
    "ExternalName": ("web", {"spec": EXTERNAL_NAME}),
    "selector": ("front", {"spec": {"selector": {"app": "a", "tier": "b"}}}),
    "NodePort": ("front", {"spec": {"type": "NodePort"}}),
    "LoadBalancer": ("front", {"spec": {"type": "LoadBalancer"}}),
    "internalTrafficPolicy": ("front", {"spec": {"internalTrafficPolicy": "Local"}}),
    "labels": ("front", {"metadata": {"labels": {PROXY_NAME: "a", "app": "b"}}}),
    "several fields": ("front", {"spec": {"selector": {"app": "a"}, "sessionAffinity": "ClientIP"}}),
}
PORTS: dict[str, tuple[str, Object]] = {
    "another port": ("web", ports({"port": 99})),
    "a port more": ("web", ports({"port": 80, "name": "a"}, {"port": 99, "name": "b"})),
    "UDP too": ("web", ports({"port": 80, "name": "a"}, {"port": 80, "name": "b", "protocol": "UDP"})),
}
"""Server-side apply keeps a port of another field manager: the report then has the command that removes it."""


async def service(world: World, name: str) -> Object:
    """The fields of the Service that matter to a user."""
    found = await world.get(name, kind=SERVICES)
    assert found is not None
    return {"labels": found["metadata"].get("labels"), "spec": found["spec"]}


async def created(world: World) -> dict[str, Object]:
    """A headless Service and one with a cluster IP, both as desired."""
    await world.apply(external_service("web", IPS))
    await world.apply(external_service("front", IPS, service={"clusterIP": "Auto"}))
    for name in ("web", "front"):
        await world.until_published(name, dict.fromkeys(IPS, True))
    return {name: await service(world, name) for name in ("web", "front")}


async def edit(world: World, name: str, change: Object) -> None:
    """Runs kubectl as an administrator."""
    patch = json.dumps(change)
    done = await world.kubectl("patch", "service", name, "-n", world.namespace, "--type=merge", "-p", patch)
    assert done.returncode == 0, done.stderr


async def put_back(world: World, name: str, before: Object) -> None:
    async def shown() -> tuple[Object, object]:
        return await service(world, name), (await world.status(name)).get("children")

    await until_equal(shown, (before, None))


@pytest.mark.world(resync=2)
async def test_edited_service_is_reverted_or_reported(world: World) -> None:
    before = await created(world)
    for what, (name, change) in (EDITS | PORTS).items():

        async def decided(name: str = name) -> bool:
            return bool((await world.status(name)).get("children")) or await service(world, name) == before[name]

        await edit(world, name, change)
        await until(decided, what, seconds=SECONDS, every=0.05)
        if what in PORTS and (reported := (await world.status(name)).get("children")):
            assert (reported[0]["kind"], reported[0]["reason"]) == ("Service", "Edited")
            _, _, command = reported[0]["problem"].partition("Run: kubectl ")
            done = await world.kubectl(*shlex.split(command))
            assert done.returncode == 0, done.stderr
        await put_back(world, name, before[name])
    await world.until_calm()


@contextlib.asynccontextmanager
async def running_pod(world: World, labels: Object) -> AsyncIterator[None]:
    """A ready Pod and its Node, with statuses written by the test: there is no kubelet."""
    await world.client.create(NODES.path(), {"metadata": {"name": NODE}})
    try:
        container = {"name": "main", "image": "example"}
        manifest = {
            "metadata": {"name": "web", "labels": labels},
            "spec": {"nodeName": NODE, "containers": [container], "automountServiceAccountToken": False},
        }
        made = await world.client.create(PODS.path(world.namespace), manifest)
        ready = {"type": "Ready", "status": "True"}
        status = {"phase": "Running", "podIP": POD_IP, "podIPs": [{"ip": POD_IP}], "conditions": [ready]}
        await world.client.replace(f"{PODS.path(world.namespace, 'web')}/status", {**made, "status": status})
        yield
    finally:
        await world.client.delete(NODES.path(name=NODE))


@pytest.mark.parametrize("name", ["web", "front"])
@pytest.mark.world(resync=2)
async def test_pods_selected_by_an_edit_lose_traffic(world: World, name: str) -> None:
    """The composite controller is stopped until the endpoint-slice controller has published the Pod."""
    before = await created(world)
    async with running_pod(world, {"app": "a"}), consuming(world, name) as consumer:
        await world.composite.stop()
        await edit(world, name, {"spec": {"selector": {"app": "a"}}})
        await until(lambda: consumer.ready() == {*IPS, POD_IP}, "the Pod is published", seconds=SECONDS)
        await world.composite.start()
        await until(lambda: consumer.ready() == set(IPS), "the Pod is not published", seconds=SECONDS)
        await put_back(world, name, before[name])
        await world.until_calm()
        assert consumer.ready() == set(IPS)
        assert await world.published(name) == dict.fromkeys(IPS, True)


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
    for kind in TYPES:
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

"""A Service that was edited by hand is put back, or `status.children` reports the command that puts it back."""

import asyncio
import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from playground.cluster import SERVICES
from playground.until import until
from tests.e2e.manifests import external_service
from tests.e2e.world import OURS, World

Object = dict[str, Any]

SECONDS = 60.0
QUIET_SECONDS = 3.0
IPS = ("10.0.100.10",)
PROXY_NAME = "service.kubernetes.io/service-proxy-name"


def ports(*ports: Object) -> Object:
    return {"spec": {"ports": list(ports)}}


PORTS = [
    pytest.param("web", ports({"port": 99}), id="another port"),
    pytest.param("web", ports({"port": 80, "name": "a"}, {"port": 99, "name": "b"}), id="a port more"),
    pytest.param("web", ports({"port": 80, "name": "a"}, {"port": 80, "name": "b", "protocol": "UDP"}), id="UDP too"),
]
EDITS = [
    pytest.param("web", ports({"port": 80, "name": "a", "targetPort": 81, "appProtocol": "h2c"}), id="port options"),
    pytest.param("web", {"spec": {"ports": None}}, id="no ports"),
    pytest.param("web", {"spec": {"publishNotReadyAddresses": True}}, id="publishNotReadyAddresses"),
    pytest.param(
        "web",
        {"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}},
        id="sessionAffinity",
    ),
    pytest.param("web", {"spec": {"externalIPs": ["10.0.100.99"]}}, id="externalIPs"),
    pytest.param(
        "web",
        {"spec": {"type": "ExternalName", "externalName": "a.example", "clusterIP": None, "clusterIPs": None}},
        id="ExternalName",
    ),
    pytest.param("front", {"spec": {"selector": {"app": "a", "tier": "b"}}}, id="selector"),
    pytest.param("front", {"spec": {"type": "NodePort"}}, id="NodePort"),
    pytest.param(
        "front", {"spec": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}}, id="LoadBalancer"
    ),
    pytest.param("front", {"spec": {"internalTrafficPolicy": "Local"}}, id="internalTrafficPolicy"),
    pytest.param("front", {"metadata": {"labels": {PROXY_NAME: "a", "app": "b"}}}, id="labels"),
    pytest.param(
        "front",
        {"spec": {"selector": {"app": "a"}, "publishNotReadyAddresses": True, "sessionAffinity": "ClientIP"}},
        id="several fields",
    ),
]


async def service(world: World, name: str) -> Object:
    """What of the Service is the user's business."""
    found = await world.get(name, kind=SERVICES)
    assert found is not None
    return {"labels": found["metadata"].get("labels"), "spec": found["spec"]}


async def created(world: World) -> dict[str, Object]:
    """A headless Service and one with a cluster IP, both as their ExternalServices want them."""
    await world.apply(external_service("web", IPS))
    await world.apply(external_service("front", IPS, service={"clusterIP": "Auto"}))
    for name in ("web", "front"):
        await world.until_published(name, dict.fromkeys(IPS, True))
    return {name: await service(world, name) for name in ("web", "front")}


async def edit(world: World, name: str, change: Object) -> None:
    """As an administrator with kubectl."""
    patch = json.dumps(change)
    done = await world.kubectl("patch", "service", name, "-n", world.namespace, "--type=merge", "-p", patch)
    assert done.returncode == 0, done.stderr


async def settled(world: World) -> None:
    """Nothing is written any more."""

    async def quiet() -> bool:
        mark = world.mark()
        await asyncio.sleep(QUIET_SECONDS)
        return not [one for one in world.api.entries(mark) if one.write and one.user in OURS]

    await until(quiet, f"{QUIET_SECONDS:g} s without a write", seconds=SECONDS)


async def put_back(world: World, name: str, before: Object) -> float:
    async def holds() -> bool:
        return await service(world, name) == before and not (await world.status(name)).get("children")

    return await until(holds, "the Service as before", seconds=SECONDS, every=0.05)


@pytest.mark.world(resync=2)
async def test_what_can_be_put_back_is(world: World, figures: Callable[..., None]) -> None:
    before = await created(world)
    for one in EDITS:
        name, change = one.values
        assert isinstance(name, str)
        assert isinstance(change, dict)
        await edit(world, name, change)
        figures(**{f"{one.id}, seconds": await put_back(world, name, before[name])})
    await settled(world)


@pytest.mark.world(resync=2)
async def test_other_ports_are_put_back_or_reported(world: World, figures: Callable[..., None]) -> None:
    """Server-side apply keeps a port of another field manager: there the report holds the command that removes it."""
    before = await created(world)

    async def decided() -> bool:
        return bool((await world.status("web")).get("children")) or await service(world, "web") == before["web"]

    for one in PORTS:
        _, change = one.values
        assert isinstance(change, dict)
        await edit(world, "web", change)
        seconds = await until(decided, "put back or reported", seconds=SECONDS, every=0.05)
        reported = (await world.status("web")).get("children")
        figures(**{f"{one.id}, seconds": seconds, f"{one.id}, reported": bool(reported)})
        if reported:
            assert (reported[0]["kind"], reported[0]["reason"]) == ("Service", "Edited")
            _, _, command = reported[0]["problem"].partition("Run: kubectl ")
            done = await world.kubectl(*shlex.split(command))
            assert done.returncode == 0, done.stderr
        await put_back(world, "web", before["web"])
    await settled(world)

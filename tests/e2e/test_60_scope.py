"""Installations share a cluster by selectors and hand over without a transition; listed namespaces need only Roles."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.sync import UNCOVERED
from playground.client import ENDPOINTS, EVENTS, EXTERNAL_SERVICES, NAMESPACES, SERVICES, Kind
from tests.e2e import accounts, process
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import Setup, World, ready
from tests.scenarios.timeline import followed
from tests.until import until

LEFT, RIGHT, NOBODYS = ("10.0.100.10", "10.0.100.11"), ("10.0.100.20", "10.0.100.21"), ("10.0.100.30",)
RBAC = "rbac.authorization.k8s.io/v1"
ROLES = Kind(RBAC, "roles", "Role", namespaced=True)
ROLE_BINDINGS = Kind(RBAC, "rolebindings", "RoleBinding", namespaced=True)
SERVICE_ACCOUNTS = Kind("v1", "serviceaccounts", "ServiceAccount", namespaced=True)
SCOPED = "prober-of-two-namespaces"

Object = dict[str, Any]


@asynccontextmanager
async def beside(world: World, directory: Path, shard: str) -> AsyncIterator[World]:
    """Another installation on the same API server."""
    directory.mkdir()  # noqa: ASYNC240
    async with World(world.api, world.hosts, directory, Setup(shard=shard), world.metacontroller) as other:
        yield other


def of_shard(name: str, ips: tuple[str, ...], shard: str) -> Object:
    made = external_service(name, ips)
    made["metadata"]["labels"] = {process.SHARD: shard}
    return made


async def uid(world: World) -> str:
    return str((await world.client.get(ENDPOINTS.path(world.namespace, "left")))["metadata"]["uid"])


@pytest.mark.world(shard="a")
async def test_installations_by_label_hand_over_unchanged(world: World, tmp_path: Path) -> None:
    async with beside(world, tmp_path / "b", "b") as other:
        await world.apply(of_shard("left", LEFT, "a"))
        await world.apply(of_shard("right", RIGHT, "b"))
        await world.apply(external_service("nobodys", NOBODYS))
        await world.until_published("left", ready(LEFT))
        await world.until_published("right", ready(RIGHT))
        assert await world.sidecar.probed(world.namespace) == {"left"}
        assert await other.sidecar.probed(world.namespace) == {"right"}
        assert await world.get("nobodys", kind=SERVICES) is None
        assert "status" not in (await world.get("nobodys") or {})

        await world.sidecar.kill()  # another installation's objects are not taken over
        world.hosts.switch((LEFT[1], RIGHT[1]), Mode.REFUSE)
        await world.until_published("right", ready(RIGHT, but=[RIGHT[1]]))
        assert await world.published("left") == ready(LEFT)

        before = await uid(world)
        async with followed(world.client, world.namespace, "left") as timeline:
            await world.patch("left", {"metadata": {"labels": {process.SHARD: "b"}}})
            await world.until_published("left", ready(LEFT, but=[LEFT[1]]))
        assert {ip for moment in timeline.published for ip, state in moment.ready.items() if not state} == {LEFT[1]}
        assert await other.sidecar.probed(world.namespace) == {"left", "right"}
        await world.sidecar.start()
        assert await world.sidecar.probed(world.namespace) == set()
        assert await uid(world) == before, "the children were created again"


async def grant(world: World, account: tuple[str, str], namespaces: tuple[str, ...]) -> None:
    """The shipped ClusterRole of the sidecar as a Role in each namespace, and nothing else."""
    wanted = ("ClusterRole", "external-service-operator")
    (shipped,) = (one for one in accounts.shipped() if (one["kind"], one["metadata"]["name"]) == wanted)
    meta = {"name": account[1]}
    subject = {"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account[1]}
    await world.client.create(SERVICE_ACCOUNTS.path(account[0]), {"metadata": meta})
    for namespace in namespaces:
        await world.client.create(ROLES.path(namespace), {"metadata": meta, "rules": shipped["rules"]})
        binding = {"metadata": meta, "roleRef": role, "subjects": [subject]}
        await world.client.create(ROLE_BINDINGS.path(namespace), binding)


async def test_namespace_list_needs_roles_only(world: World, tmp_path: Path) -> None:
    second, third = f"{world.namespace}-second", f"{world.namespace}-third"
    account = (world.namespace, SCOPED)
    for name in (second, third):
        await world.client.create(NAMESPACES.path(), {"metadata": {"name": name}})
    await grant(world, account, (world.namespace, second))
    scope = {"ESO_NAMESPACES": f"{second},{world.namespace}"}
    await world.sidecar.stop()
    await world.hook.restart_with(scope)
    directory = tmp_path / "scoped"
    directory.mkdir()
    sidecar = process.Sidecar(directory, world.api.kubeconfig(account), settings=scope)
    mark = world.api.mark()
    await sidecar.start()
    try:
        for name, ips in ((world.namespace, LEFT), (second, RIGHT), (third, NOBODYS)):
            made = external_service("web", ips)
            made["metadata"]["namespace"] = name
            await world.apply(made)
        world.hosts.switch((LEFT[1], RIGHT[1]), Mode.REFUSE)
        await world.until_published("web", ready(LEFT, but=[LEFT[1]]))
        await world.until_published("web", ready(RIGHT, but=[RIGHT[1]]), namespace=second)
        outside = UNCOVERED.format(namespaces=f"{world.namespace}, {second}")

        async def refused() -> bool:
            events = (await world.client.get(EVENTS.path(third)))["items"]
            return any(outside in one.get("message", "") for one in events if one["reason"] == "SyncError")

        await until(refused, "an Event says who does not look after it", seconds=45)
        assert not await world.has("web", SERVICES, third)
        assert await world.status("web", third) == {}
        assert await sidecar.probed(third) == set()
        ours = [one for one in world.api.entries(mark) if one.user == accounts.username(account)]
        assert {one.namespace for one in ours} == {world.namespace, second}
        assert [one for one in ours if one.code in (401, 403)] == []
    finally:
        await sidecar.stop()
        for name in (second, third):
            await world.client.delete(EXTERNAL_SERVICES.path(name, "web"))

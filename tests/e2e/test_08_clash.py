"""A child name that another owner has taken is reported, left alone, and used once it is free."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from app.sync import ABSENT
from external_service.v1alpha1 import ChildProblem
from playground.client import ENDPOINTS, INGRESSES, SERVICES, Kind
from probe_sidecar.status.summary import child_summary
from tests.e2e.api import Unsupported
from tests.e2e.manifests import external_service
from tests.e2e.slices import our_endpoints, our_slices
from tests.e2e.world import World, ready
from tests.until import until

Object = dict[str, Any]

NAME = "web"
IPS = ("10.0.100.10", "10.0.100.11")
HOSTS = [{"host": "web.example"}]
CHILDREN = (SERVICES, ENDPOINTS, INGRESSES)
STRANGERS: dict[Kind, Object] = {
    SERVICES: {"spec": {"clusterIP": "None", "ports": [{"port": 1234}]}},
    ENDPOINTS: {"subsets": [{"addresses": [{"ip": "10.0.64.99"}], "ports": [{"port": 1234}]}]},
    INGRESSES: {"spec": {"rules": [{"host": "foreign.example"}]}},
}
TOLD_SECONDS = 60.0
HEALED_SECONDS = 90.0


WITH_A_SHORT_RESYNC = pytest.mark.parametrize(
    "world",
    [
        pytest.param("playground", marks=pytest.mark.world(resync=2)),
        pytest.param("real", marks=pytest.mark.e2e),  # as shipped: half a minute, by resyncAfterSeconds
    ],
    indirect=True,
)


def report(kind: Kind, name: str = NAME) -> Object:
    return {"kind": kind.kind, "name": name, "problem": ABSENT.format(kind=kind.kind), "reason": "Absent"}


def shown(status: Object) -> tuple[str, str, str]:
    """The summary, and the condition Ready with its reason."""
    ready: Object = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
    return status.get("summary", ""), ready.get("status", ""), ready.get("reason", "")


def expected(kind: Kind) -> tuple[str, str, str]:
    """A missing Ingress does not affect traffic inside the cluster."""
    condition = ("True", "AllAddressesReady") if kind == INGRESSES else ("False", "ChildMissing")
    return (summary(kind), *condition)


def summary(kind: Kind) -> str:
    return child_summary(ChildProblem(kind=kind.kind, name=NAME, problem="", reason="Absent"))


async def stranger(world: World, kind: Kind, name: str = NAME) -> Object:
    """An object of that name with another owner, as stored; Unsupported where Metacontroller would take it over."""
    if world.metacontroller is not None and world.metacontroller.strategy == "server-side-apply":
        raise Unsupported("with server-side apply Metacontroller forces its fields into whatever has the name")
    body = {"metadata": {"name": name, "labels": {"team": "strangers"}}} | STRANGERS[kind]
    return await world.client.create(kind.path(world.namespace), body)


async def told(world: World, name: str = NAME) -> list[Object]:
    reports: list[Object] = (await world.status(name)).get("children", [])
    return reports


async def owned(world: World, parent: Object) -> list[Kind]:
    """The kinds with an object of that name that this ExternalService owns."""
    name, uid = parent["metadata"]["name"], parent["metadata"]["uid"]
    found = {kind: await world.get(name, kind=kind) for kind in CHILDREN}
    owners = {kind: child["metadata"].get("ownerReferences", []) for kind, child in found.items() if child}
    return [kind for kind, references in owners.items() if [one["uid"] for one in references] == [uid]]


async def until_all_owned(world: World, *parents: Object) -> float:
    async def holds() -> bool:
        names = [parent["metadata"]["name"] for parent in parents]
        ours = [await owned(world, parent) == [*CHILDREN] for parent in parents]
        return all(ours) and not any([await told(world, name) for name in names])

    return await until(holds, "all children ours, nothing to tell", seconds=HEALED_SECONDS, every=0.05)


async def until_in_our_slices(world: World, name: str) -> None:
    async def holds() -> bool:
        return (await our_endpoints(world, name)).keys() == {*IPS}

    await until(holds, f"the slices of {name}", seconds=HEALED_SECONDS, every=0.05)


@WITH_A_SHORT_RESYNC
async def test_child_name_taken_by_another_owner_is_reported(world: World, figures: Callable[..., None]) -> None:
    """For each kind a foreign object of that name; also in `kubectl get -o wide`."""
    names = {kind: f"web-{kind.kind.lower()}" for kind in CHILDREN}
    before = {kind: await stranger(world, kind, name) for kind, name in names.items()}
    parents = {kind: await world.apply(external_service(name, IPS, hosts=HOSTS)) for kind, name in names.items()}

    async def reported() -> bool:
        states = {kind: await world.status(name) for kind, name in names.items()}
        return all(
            (status.get("children"), status.get("ready"), shown(status))
            == ([report(kind, names[kind])], "2/2", expected(kind))
            for kind, status in states.items()
        )

    seconds = await until(reported, "foreign objects reported", seconds=TOLD_SECONDS, every=0.05)
    for kind, name in names.items():
        others = [other for other in CHILDREN if other != kind]
        assert await owned(world, parents[kind]) == others, f"the other children wait for the {kind.kind}"
        assert await world.get(name, kind=kind) == before[kind], f"the foreign {kind.kind} was changed"
        if kind is SERVICES:
            assert await our_slices(world, name) == {}, "our addresses joined a Service that is not ours"
        else:
            await until_in_our_slices(world, name)
        await world.delete(name, kind=kind)
    healed = await until_all_owned(world, *parents.values())

    async def recovered() -> bool:
        states = [await world.status(name) for name in names.values()]
        return all(shown(status) == ("OK", "True", "AllAddressesReady") for status in states)

    await until(recovered, "Ready is True again", seconds=HEALED_SECONDS, every=0.05)
    figures(**{"reported, seconds": seconds, "ours after they went, seconds": healed})
    for name in names.values():
        await world.until_published(name, ready(IPS))
        await until_in_our_slices(world, name)


async def test_foreign_object_survives_deletion(world: World) -> None:
    """Shown in `kubectl get -o wide`; deleting the ExternalService deletes no foreign object."""
    before = [await stranger(world, kind) for kind in CHILDREN]
    await world.apply(external_service(NAME, IPS, hosts=HOSTS))
    reports = [report(kind) for kind in CHILDREN]

    async def reported() -> bool:
        return await told(world) == reports and shown(await world.status(NAME))[0] == summary(SERVICES)

    await until(reported, "three foreign objects reported", seconds=TOLD_SECONDS, every=0.05)
    assert await our_slices(world, NAME) == {}
    with contextlib.suppress(Unsupported):  # without kubectl the other assertions hold
        wide = await world.kubectl("get", "externalservice", NAME, "-n", world.namespace, "-o", "wide")
        header, row = wide.stdout.splitlines()
        assert row[header.index("STATUS") : header.index("HOSTS")].strip() == summary(SERVICES)
    await world.delete(NAME)

    async def gone() -> bool:
        return await world.get(NAME) is None

    await until(gone, "the ExternalService gone", seconds=TOLD_SECONDS)
    await asyncio.sleep(1)  # time for a wrong garbage collection
    assert [await world.get(NAME, kind=kind) for kind in CHILDREN] == before


async def test_object_deleted_and_recreated_gets_new_children(world: World, figures: Callable[..., None]) -> None:
    """The children of the old object still exist then; the garbage collector deletes them later."""
    names = {"probed": True, "unprobed": False}
    for last in range(10, 14):
        if last > 10:
            for name in names:
                await world.delete(name)
        made = [await world.apply(external(name, f"10.0.100.{last}", probed)) for name, probed in names.items()]
        if last == 10:
            await until_all_owned(world, *made)
    figures(seconds=await until_all_owned(world, *made))
    for name in names:
        await world.until_published(name, {"10.0.100.13": True})

    async def reported() -> bool:
        """An address without a probe is published before there is a status."""
        statuses = [await world.status(name) for name in names]
        return all([entry["ip"] for entry in one.get("addresses", ())] == ["10.0.100.13"] for one in statuses)

    await until(reported, "only the last address in each status", seconds=TOLD_SECONDS)


def external(name: str, ip: str, probed: bool) -> Object:
    parent = external_service(name, [ip], hosts=HOSTS)
    if not probed:
        del parent["spec"]["readinessProbe"]
    return parent

"""A child name that another owner has taken is reported, left alone, and used once it is free."""

import asyncio
from typing import Any

import pytest

from app.sync import ABSENT
from external_service.v1alpha1 import ChildProblem
from playground.client import ENDPOINTS, INGRESSES, SERVICES, Kind
from probe_sidecar.status.summary import child_summary
from tests.e2e.manifests import external_service
from tests.e2e.slices import our_endpoints, our_slices
from tests.e2e.world import World, ready
from tests.until import until, until_equal

Object = dict[str, Any]

NAME = "web"
IPS = ("10.0.100.10", "10.0.100.11")
HOSTS = [{"host": "web.example"}]
CHILDREN = (SERVICES, ENDPOINTS, INGRESSES)
FOREIGN: dict[Kind, Object] = {
    SERVICES: {"spec": {"clusterIP": "None", "ports": [{"port": 1234}]}},
    ENDPOINTS: {"subsets": [{"addresses": [{"ip": "10.0.64.99"}], "ports": [{"port": 1234}]}]},
    INGRESSES: {"spec": {"rules": [{"host": "foreign.example"}]}},
}
HEALED_SECONDS = 90.0


def report(kind: Kind, name: str = NAME) -> Object:
    return {"kind": kind.kind, "name": name, "problem": ABSENT.format(kind=kind.kind), "reason": "Absent"}


def summary(kind: Kind) -> str:
    return child_summary(ChildProblem(kind=kind.kind, name=NAME, problem="", reason="Absent"))


async def foreign(world: World, kind: Kind, name: str = NAME) -> Object:
    """An object of that name with another owner, as stored. Skips the test where Metacontroller would take it over."""
    if world.metacontroller is not None and world.metacontroller.strategy == "server-side-apply":
        pytest.skip("with server-side apply Metacontroller forces its fields into whatever has the name")
    body = {"metadata": {"name": name, "labels": {"team": "others"}}} | FOREIGN[kind]
    return await world.client.create(kind.path(world.namespace), body)


async def shown(world: World, name: str) -> tuple[list[Object], str, tuple[str, str]]:
    """The reports, the summary, and the condition Ready with its reason."""
    status = await world.status(name)
    return status.get("children", []), status.get("summary", ""), (await world.condition(name, "Ready"))[:2]


async def owned(world: World, parent: Object) -> list[Kind]:
    """The kinds with an object of that name that this ExternalService owns."""
    name, uid = parent["metadata"]["name"], parent["metadata"]["uid"]
    found = {kind: await world.get(name, kind=kind) for kind in CHILDREN}
    owners = {kind: child["metadata"].get("ownerReferences", []) for kind, child in found.items() if child}
    return [kind for kind, references in owners.items() if [one["uid"] for one in references] == [uid]]


async def until_all_owned(world: World, *parents: Object) -> None:
    async def holds() -> bool:
        ours = [await owned(world, parent) == [*CHILDREN] for parent in parents]
        return all(ours) and not any([(await shown(world, one["metadata"]["name"]))[0] for one in parents])

    await until(holds, "all children ours, nothing reported", seconds=HEALED_SECONDS, every=0.05)


async def until_in_our_slices(world: World, name: str) -> None:
    async def addresses() -> set[str]:
        return {*await our_endpoints(world, name)}

    await until_equal(addresses, {*IPS}, seconds=HEALED_SECONDS)


async def test_child_name_taken_by_another_owner_is_reported(world: World) -> None:
    """For each kind a foreign object of that name."""
    names = {kind: f"web-{kind.kind.lower()}" for kind in CHILDREN}
    before = {kind: await foreign(world, kind, name) for kind, name in names.items()}
    parents = {kind: await world.apply(external_service(name, IPS, hosts=HOSTS)) for kind, name in names.items()}
    for kind, name in names.items():  # a missing Ingress does not affect traffic inside the cluster
        condition = ("True", "AllAddressesReady") if kind == INGRESSES else ("False", "ChildMissing")
        wanted = ([report(kind, name)], summary(kind), condition)
        await until_equal(lambda name=name: shown(world, name), wanted)  # type: ignore[misc] # it is a str
    for kind, name in names.items():
        others = [other for other in CHILDREN if other != kind]
        assert await owned(world, parents[kind]) == others, f"the other children wait for the {kind.kind}"
        assert await world.get(name, kind=kind) == before[kind], f"the foreign {kind.kind} was changed"
        if kind is SERVICES:
            assert await our_slices(world, name) == {}, "our addresses joined a Service that is not ours"
        else:
            await until_in_our_slices(world, name)
        await world.delete(name, kind=kind)
    await until_all_owned(world, *parents.values())
    for name in names.values():
        ready_again: Any = ([], "OK", ("True", "AllAddressesReady"))
        await until_equal(lambda name=name: shown(world, name), ready_again, seconds=HEALED_SECONDS)  # type: ignore[misc] # it is a str
        await world.until_published(name, ready(IPS))
        await until_in_our_slices(world, name)


async def test_foreign_object_survives_deletion(world: World) -> None:
    before = [await foreign(world, kind) for kind in CHILDREN]
    await world.apply(external_service(NAME, IPS, hosts=HOSTS))

    async def reported() -> tuple[list[Object], str]:
        return (await shown(world, NAME))[:2]

    await until_equal(reported, ([report(kind) for kind in CHILDREN], summary(SERVICES)))
    assert await our_slices(world, NAME) == {}
    await world.delete(NAME)
    await until_equal(lambda: world.has(NAME), wanted=False)
    await asyncio.sleep(1)  # time for a wrong garbage collection
    assert [await world.get(NAME, kind=kind) for kind in CHILDREN] == before


async def test_object_deleted_and_recreated_gets_new_children(world: World) -> None:
    """The children of the old object still exist then; the garbage collector deletes them later."""
    names = {"probed": True, "unprobed": False}
    for last in range(10, 14):
        if last > 10:
            for name in names:
                await world.delete(name)
        made = [await world.apply(external(name, f"10.0.100.{last}", probed)) for name, probed in names.items()]
        if last == 10:
            await until_all_owned(world, *made)
    await until_all_owned(world, *made)
    for name in names:
        await world.until_published(name, {"10.0.100.13": True})

    async def reported() -> list[set[str]]:
        """An address without a probe is published before there is a status."""
        return [{*await world.addresses(name)} for name in names]

    await until_equal(reported, [{"10.0.100.13"}] * 2)


def external(name: str, ip: str, probed: bool) -> Object:
    parent = external_service(name, [ip], hosts=HOSTS)
    if not probed:
        del parent["spec"]["readinessProbe"]
    return parent

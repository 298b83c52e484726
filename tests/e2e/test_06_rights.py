"""Every right that metacontroller/rbac.yaml grants is used, and no other."""

import contextlib
import re

import pytest

from playground.client import (
    CONTROLLER,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EXTERNAL_SERVICES,
    INGRESSES,
    SERVICES,
    SIDECAR,
    Kind,
)
from tests.chart.rendering import rights
from tests.e2e import accounts
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.slices import our_slices
from tests.e2e.world import LEASES, World, ready
from tests.until import Late, until, until_equal

HEALTHY, FAILING = "10.0.100.10", "10.0.100.11"
IPS = (HEALTHY, FAILING)
REPLICA = "a"
SECONDS = 60.0
TOLD_SECONDS = 10.0

ROLES = ("ClusterRole", "Role")
Right = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""


def granted(name: str) -> set[Right]:
    """Granted by the shipped ClusterRole of that name, and by the Role, if there is one."""
    roles = [one for one in accounts.shipped() if one["kind"] in ROLES and one["metadata"]["name"] == name]
    return set[Right]().union(*map(rights, roles))


SIDECAR_RIGHTS = granted("external-service-operator")
CONTROLLER_RIGHTS = granted("external-service-operator-metacontroller")

ITS_OWN = re.compile(
    r"metacontroller\.k8s\.io/.*|apiextensions\.k8s\.io/customresourcedefinitions|(events\.k8s\.io)?/events"
)
"""Rights that Metacontroller always needs, and its own installation grants: for its kinds, and Events."""


UNPROVOKED: set[Right] = {
    ("", "services", "delete"),  # for an updateStrategy of your own, Recreate
    ("", "endpoints", "delete"),  # after the minutes of a handover between forms of endpoints: test_31_switching
    ("discovery.k8s.io", "endpointslices", "delete"),  # the same
    ("eso.crowdfox.com", "externalservices/finalizers", "update"),  # asked by admission, or no child could be made
}
"""Shipped rights that this run does not use."""

CHILDREN = {(group, resource) for group, resource, verb in CONTROLLER_RIGHTS if verb == "create"}


def unprovoked(world: World) -> set[Right]:
    """UNPROVOKED, and the rights that the composite controller of this world does not use."""
    real = world.metacontroller
    if real is None:
        return UNPROVOKED | {(*child, "patch") for child in CHILDREN}
    found = UNPROVOKED | {right for right in CONTROLLER_RIGHTS if right[2] == "list"}  # streamed as watches
    if real.strategy == "server-side-apply":  # an apply may come before the adoption, and adopts
        return found | {(*child, verb) for child in CHILDREN for verb in ("get", "create", "update")}
    return found | {(*child, "patch") for child in CHILDREN}


def used(world: World, role: str) -> set[Right]:
    """The rights that a request of one of our accounts needed since the world began, also if it was refused."""
    return {
        (one.group, f"{one.resource}/{one.subresource}" if one.subresource else one.resource, one.verb)
        for one in world.api.entries(world.began)
        if one.user == role
    }


async def both_forms(world: World) -> None:
    """A parent with every child, so that each is created, updated and deleted."""
    await world.apply(external_service("web", IPS, hosts=[{"host": "web.example"}]))
    await world.until_published("web", ready(IPS))
    for mode, states in ((Mode.REFUSE, ready(IPS, but=[FAILING])), (Mode.HEALTHY, ready(IPS))) * 2:
        world.hosts.switch(FAILING, mode)  # the second failure is added to the Event of the first: a patch
        await world.until_published("web", states)


async def behind_the_times(world: World) -> None:
    """Another client writes to the parent while the sidecar gets no events: its next write is refused, and it reads.

    It gets no events about its Lease either, and would stop after two thirds of its duration.
    """
    world.fronts[REPLICA].flowing.clear()
    status = await world.status("web")
    moved = {**status, "revision": status["revision"] + 1}
    place = EXTERNAL_SERVICES.path(world.namespace, "web", "status")
    await world.client.patch(place, {"status": moved})
    world.hosts.switch(FAILING, Mode.REFUSE)
    await world.until_published("web", ready(IPS, but=[FAILING]))
    world.fronts[REPLICA].flowing.set()


async def overtaken(world: World) -> None:
    """Another client writes to its Lease: the next renewal is refused, and it reads."""
    lease = await world.lease(REPLICA)
    assert lease is not None
    namespace, name = lease["metadata"]["namespace"], lease["metadata"]["name"]
    await world.patch(name, {"metadata": {"annotations": {"team": "a"}}}, kind=LEASES, namespace=namespace)
    read = ("coordination.k8s.io", "leases", "get")
    await until(lambda: read in used(world, SIDECAR), "the Lease read", seconds=SECONDS, every=0.1)


async def every_child(world: World) -> None:
    """An update of each kind of child, an orphan to adopt, and the deletion of unwanted children."""
    await world.patch("web", {"metadata": {"labels": {"team": "a"}}, "spec": {"port": 81}})
    (slice_name,) = await our_slices(world, "web")
    for kind, name in ((SERVICES, "web"), (ENDPOINTS, "web"), (INGRESSES, "web"), (ENDPOINT_SLICES, slice_name)):
        await world.patch(name, {"metadata": {"ownerReferences": None}}, kind=kind)

        async def adopted(kind: Kind = kind, name: str = name) -> bool:
            child = await world.get(name, kind=kind) or {"metadata": {}}
            return bool(child["metadata"].get("ownerReferences"))

        await until(adopted, f"{kind.kind} adopted", seconds=SECONDS)
    await world.patch("web", {"spec": {"hosts": []}})
    await until_equal(lambda: world.has("web", INGRESSES), wanted=False)


@pytest.mark.world(fronts=True, endpoints="Both", replicas=1, lease=30)
async def test_rbac_equals_the_requests_made(world: World) -> None:
    await both_forms(world)
    await behind_the_times(world)
    await overtaken(world)
    await every_child(world)
    await world.sidecar.stop()  # a watch is in the audit log when it has ended
    await world.composite.stop()
    wanted = CONTROLLER_RIGHTS - unprovoked(world)
    with contextlib.suppress(Late):  # for the difference in the message
        await until(lambda: used(world, CONTROLLER) >= wanted, "in the audit log", seconds=TOLD_SECONDS, every=0.1)
    assert used(world, SIDECAR) == SIDECAR_RIGHTS
    asked = {right for right in used(world, CONTROLLER) if not ITS_OWN.fullmatch("/".join(right[:2]))}
    assert asked - CONTROLLER_RIGHTS == set(), "asked for without a right"
    assert wanted - asked == set(), "granted and never asked for"
    ours = [entry for entry in world.api.entries(world.began) if entry.user in (SIDECAR, CONTROLLER)]
    assert [entry for entry in ours if entry.code in (401, 403)] == []

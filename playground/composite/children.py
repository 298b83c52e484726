"""The children of a parent: claimed from the caches, deleted, created and updated as the hook desires.

Behaviour as read in Metacontroller's pkg/controller/common/manage_children.go and pkg/dynamic/controllerref.
"""

import copy
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from playground.client import ApiClient, Kind, Refused
from playground.composite import dynamic_apply
from playground.composite.hook import Observed
from playground.composite.informer import Informer, Place, place_of
from playground.values import Object, same

Desired = dict[tuple[str, str], dict[str, Object]]  # apiVersion and kind -> namespace/name -> child

Change = Callable[[list[Object]], list[Object]]  # of owner references

SELECTOR_LABEL = "controller-uid"
CONFLICT = 409
NOT_FOUND = 404


class SyncError(Exception):
    """A failed sync, to be retried; its text goes into an Event."""


def desired_children(parent: Object, children: tuple[Object, ...], *, generate_selector: bool) -> Desired:
    """The hook's children by kind and place, with the label of the generated selector; SyncError for another label."""
    desired: Desired = {}
    for one in children:
        child = copy.deepcopy(one)
        meta = child["metadata"]
        meta.setdefault("namespace", parent["metadata"]["namespace"])
        if generate_selector:
            labels = meta["labels"] = dict(meta.get("labels") or {})
            if labels.setdefault(SELECTOR_LABEL, parent["metadata"]["uid"]) != parent["metadata"]["uid"]:
                raise SyncError(f"labels on desired child {described(child)} don't match parent selector")
        desired.setdefault((child["apiVersion"], child["kind"]), {})["/".join(place_of(child))] = child
    return desired


def _order(api_version: str, kind: str) -> tuple[str, str, str]:
    """API group, version and kind (metacontroller:pkg/controller/common/api/v2 GetAllGVKs)."""
    group, _, version = api_version.rpartition("/")
    return group, version, kind


def controller_of(child: Object) -> Object | None:
    """The owner reference of the controller."""
    references: list[Object] = child["metadata"].get("ownerReferences") or []
    return next((one for one in references if one.get("controller")), None)


def described(obj: Object) -> str:
    """Kind, namespace and name, for messages."""
    return f"{obj['kind']} {'/'.join(place_of(obj))}"


class ChildManager:
    """`informers` are the caches of the kinds in childResources."""

    def __init__(self, client: ApiClient, parent_kind: Kind, informers: Mapping[Kind, Informer]) -> None:
        self._client = client
        self._parent_kind = parent_kind
        self._informers = informers

    async def claim(self, parent: Object) -> Observed:
        """The owned children, and matching orphans, which are adopted; what no longer matches is released."""
        uid, namespace = parent["metadata"]["uid"], parent["metadata"]["namespace"]
        claimed: Observed = {}
        for kind, informer in self._informers.items():
            claimed[kind] = {}
            for place, child in list(informer.objects.items()):
                if place[0] == namespace and await self._claims(kind, parent, uid, place, child):
                    claimed[kind]["/".join(place)] = child
        return claimed

    async def _claims(self, kind: Kind, parent: Object, uid: str, place: Place, child: Object) -> bool:
        owner = controller_of(child)
        matches = (child["metadata"].get("labels") or {}).get(SELECTOR_LABEL) == uid
        leaving = "deletionTimestamp" in parent["metadata"]
        if owner is not None:
            if owner["uid"] == uid and not matches and not leaving:
                await self._own(kind, place, child, lambda owners: [one for one in owners if one["uid"] != uid])
            return bool(owner["uid"] == uid and matches)
        if not matches or leaving or "deletionTimestamp" in child["metadata"]:
            return False
        return await self._adopt(kind, parent, place, child)

    async def _adopt(self, kind: Kind, parent: Object, place: Place, child: Object) -> bool:
        fresh = await self._client.get(self._parent_kind.path(*place_of(parent)))
        if fresh["metadata"]["uid"] != parent["metadata"]["uid"] or "deletionTimestamp" in fresh["metadata"]:
            raise SyncError(f"can't adopt {described(child)}: its parent has just gone")
        owner = dynamic_apply.owner_reference(parent)
        return await self._own(kind, place, child, lambda owners: [*owners, owner])

    async def _own(self, kind: Kind, place: Place, child: Object, change: Change) -> bool:
        """Changes the owners of the child as it is now; False if it is gone, or another object has its name."""
        try:
            live = await self._client.get(kind.path(*place))
            if live["metadata"]["uid"] != child["metadata"]["uid"]:
                return False
            live["metadata"]["ownerReferences"] = change(live["metadata"].get("ownerReferences") or [])
            await self._client.replace(kind.path(*place), live)
        except Refused as refusal:
            if refusal.code != NOT_FOUND:
                raise
            return False
        return True

    async def manage(self, parent: Object, observed: Observed, desired: Desired) -> list[str]:
        """Deletes what is not desired, then creates and updates; continues after a failure and returns the failures."""
        problems = []
        for kind, found in sorted(observed.items(), key=lambda one: _order(one[0].api_version, one[0].kind)):
            wanted = desired.get((kind.api_version, kind.kind), {})
            for name, child in found.items():
                if name not in wanted and "deletionTimestamp" not in child["metadata"]:
                    problems += await self._attempt(self._delete(kind, child))
        listed = {(kind.api_version, kind.kind): kind for kind in observed}
        for place, wanted in sorted(desired.items(), key=lambda one: _order(*one[0])):
            if place not in listed:
                problems.append(f"{' '.join(place)} is not one of the childResources")
                continue
            kind = listed[place]
            for name, child in wanted.items():
                there = observed[kind].get(name)
                work = self._create(kind, parent, child) if there is None else self._update(kind, there, child)
                problems += await self._attempt(work)
        return problems

    async def _attempt(self, work: Coroutine[Any, Any, None]) -> list[str]:
        try:
            await work
        except (Refused, TypeError) as problem:
            return [str(problem)]
        return []

    async def _delete(self, kind: Kind, child: Object) -> None:
        options = {"preconditions": {"uid": child["metadata"]["uid"]}, "propagationPolicy": "Background"}
        try:
            await self._client.delete(kind.path(*place_of(child)), options)
        except Refused as refusal:
            if refusal.code != NOT_FOUND:
                raise

    async def _create(self, kind: Kind, parent: Object, child: Object) -> None:
        """A name that another object has is skipped without a message; the child is never among the observed ones."""
        body = dynamic_apply.to_create(child, dynamic_apply.owner_reference(parent))
        try:
            await self._client.create(kind.path(child["metadata"]["namespace"]), body)
        except Refused as refusal:
            if refusal.reason != "AlreadyExists":
                raise

    async def _update(self, kind: Kind, there: Object, child: Object) -> None:
        body = dynamic_apply.to_update(there, child)
        if same(body, there) or "deletionTimestamp" in there["metadata"]:
            return
        try:
            await self._client.replace(kind.path(*place_of(there)), body)
        except Refused as refusal:
            if refusal.code not in (NOT_FOUND, CONFLICT):  # both cause another sync soon
                raise

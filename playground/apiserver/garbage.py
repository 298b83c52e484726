"""What kube-controller-manager collects: dependents whose owners are gone, and what a deleted namespace held."""

from collections.abc import Iterable
from typing import Any

from playground.apiserver.resources import NAMESPACES
from playground.apiserver.storage import Key, Storage

Object = dict[str, Any]

FOREGROUND = "foregroundDeletion"


def collect(storage: Storage) -> list[tuple[Key, Object]]:
    """Deletes every object whose owners (or namespace) are gone, until none is left; returns them in order."""
    collected: list[tuple[Key, Object]] = []
    while doomed := list(_doomed(storage)):
        for resource, obj in doomed:
            meta = obj["metadata"]
            collected.append((resource, storage.remove(resource, meta.get("namespace", ""), meta["name"])))
    return collected


def _doomed(storage: Storage) -> Iterable[tuple[Key, Object]]:
    everything = list(storage.everything())
    living = {obj["metadata"]["uid"]: obj for _, obj in everything}
    waiting = {uid for uid, obj in living.items() if FOREGROUND in (obj["metadata"].get("finalizers") or ())}
    owned: set[str] = set()
    spaces = {obj["metadata"]["name"] for obj in storage.items(NAMESPACES.key)}
    for resource, obj in everything:
        if obj["metadata"].get("namespace") not in (None, *spaces):
            yield resource, obj
            continue
        owners = {reference["uid"] for reference in obj["metadata"].get("ownerReferences") or ()}
        if owners and not (owners & living.keys()) - waiting and not obj["metadata"].get("finalizers"):
            yield resource, obj
        owned |= owners
    for resource, obj in everything:
        if obj["metadata"]["uid"] in waiting - owned and obj["metadata"]["finalizers"] == [FOREGROUND]:
            yield resource, obj

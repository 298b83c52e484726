"""Garbage collection as by kube-controller-manager: dependents without an owner, and what a deleted namespace held."""

from collections.abc import Iterable
from typing import Any

from playground.apiserver.registry import FOREGROUND
from playground.apiserver.resources import NAMESPACES
from playground.apiserver.storage import Key, Storage


def collect(storage: Storage) -> None:
    """Deletes every object whose owners or namespace are gone, until none is left."""
    while doomed := list(_doomed(storage)):
        for resource, obj in doomed:
            storage.remove(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _doomed(storage: Storage) -> Iterable[tuple[Key, dict[str, Any]]]:
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

"""Garbage collection as by kube-controller-manager: dependents without an owner, and what a deleted namespace held."""

from collections.abc import Iterable
from typing import Any

from playground.apiserver.resources import NAMESPACES
from playground.apiserver.storage import Key, Storage


def collect(storage: Storage) -> None:
    """Deletes every object whose owners or namespace are gone, until none is left."""
    while doomed := list(_doomed(storage)):
        for resource, obj in doomed:
            storage.remove(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _doomed(storage: Storage) -> Iterable[tuple[Key, dict[str, Any]]]:
    everything = list(storage.everything())
    living = {obj["metadata"]["uid"] for _, obj in everything}
    spaces = {obj["metadata"]["name"] for obj in storage.items(NAMESPACES.key)}
    for resource, obj in everything:
        meta = obj["metadata"]
        owners = {reference["uid"] for reference in meta.get("ownerReferences") or ()}
        orphaned = owners and not owners & living and not meta.get("finalizers")
        if orphaned or meta.get("namespace") not in (None, *spaces):
            yield resource, obj

"""The storage of an API server, as etcd and the watch cache: objects, one increasing revision, a log of changes; and
its audit log.

Stored objects are never changed in place, so readers may keep them. One event loop owns a Storage; there are no locks.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from playground.apiserver.resources import NAMESPACES
from playground.values import Object

Key = tuple[str, str]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

WRITES = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. `object` is the state after it (before it, for DELETED) and carries `revision`."""

    revision: int
    type: ChangeType
    resource: Key
    object: Object
    previous: Object | None


@dataclass(eq=False, slots=True)
class Subscription:
    """The changes of one resource from now on."""

    resource: Key
    queue: "asyncio.Queue[Change]" = field(default_factory=asyncio.Queue)


class Storage:
    """Revisions start at 90, so that a client that compares them as strings fails within ten writes.

    `watchers` are the open subscriptions. Each of `listeners` is called after a change.
    """

    def __init__(self) -> None:
        self.revision = 90
        self._objects: dict[Key, dict[tuple[str, str], Object]] = {}
        self._log: list[Change] = []
        self.watchers: set[Subscription] = set()
        self.listeners: list[Callable[[Change], None]] = []

    def get(self, resource: Key, namespace: str, name: str) -> Object | None:
        """The object as stored; it must not be changed."""
        return self._objects.get(resource, {}).get((namespace, name))

    def items(self, resource: Key, namespace: str = "") -> list[Object]:
        """All objects of a resource, of one namespace if given, in the order of namespace and name."""
        found = self._objects.get(resource, {})
        return [found[place] for place in sorted(found) if not namespace or place[0] == namespace]

    def put(self, resource: Key, obj: Object) -> Object:
        """Commits a new or changed object under the next revision and returns it as stored."""
        self.revision += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.revision)}
        stored = {**obj, "metadata": meta}
        place = (meta.get("namespace", ""), meta["name"])
        previous = self._objects.setdefault(resource, {}).get(place)
        self._objects[resource][place] = stored
        self._commit(Change(self.revision, "MODIFIED" if previous else "ADDED", resource, stored, previous))
        return stored

    def remove(self, resource: Key, namespace: str, name: str) -> Object:
        """Commits a deletion and returns the last state, with the revision of the deletion."""
        previous = self._objects[resource].pop((namespace, name))
        self.revision += 1
        last = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(self.revision)}}
        self._commit(Change(self.revision, "DELETED", resource, last, previous))
        return last

    def changes_after(self, resource: Key, revision: int) -> list[Change]:
        """The changes of a resource after a revision, as far as the log has them."""
        return [change for change in self._log if change.revision > revision and change.resource == resource]

    def subscribe(self, resource: Key) -> Subscription:
        """Begins to receive changes, until it is no longer among `watchers`."""
        subscription = Subscription(resource)
        self.watchers.add(subscription)
        return subscription

    def collect_garbage(self) -> None:
        """Deletes what kube-controller-manager would: each object whose owners or namespace are gone, until none is
        left.
        """
        while doomed := list(self._doomed()):
            for resource, obj in doomed:
                self.remove(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def _doomed(self) -> Iterator[tuple[Key, Object]]:
        everything = [(resource, obj) for resource, found in self._objects.items() for obj in found.values()]
        living = {obj["metadata"]["uid"] for _, obj in everything}
        spaces = {obj["metadata"]["name"] for obj in self.items(NAMESPACES.key)}
        for resource, obj in everything:
            meta = obj["metadata"]
            owners = {reference["uid"] for reference in meta.get("ownerReferences") or ()}
            orphaned = owners and not owners & living and not meta.get("finalizers")
            if orphaned or meta.get("namespace") not in (None, *spaces):
                yield resource, obj

    def _commit(self, change: Change) -> None:
        self._log.append(change)
        for subscription in self.watchers:
            if subscription.resource == change.resource:
                subscription.queue.put_nowait(change)
        for listener in self.listeners:
            listener(change)


@dataclass(frozen=True, slots=True)
class Audited:
    """One request and its result. `at` is Unix time in seconds."""

    at: float
    actor: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int

    @property
    def write(self) -> bool:
        """Whether it asked for a change and was not refused."""
        return self.verb in WRITES and self.code < 400


class Audit:
    """The last requests (`most` of them) with their results, and the number of all so far."""

    def __init__(self, most: int = 200_000) -> None:
        self.requests: deque[Audited] = deque(maxlen=most)
        self.total = 0

    def add(self, request: Audited) -> None:
        """Appends one."""
        self.requests.append(request)
        self.total += 1

    def since(self, mark: int) -> list[Audited]:
        """The requests after the first `mark` (an earlier `total`)."""
        fresh = self.total - mark
        return list(self.requests)[-fresh:] if fresh > 0 else []

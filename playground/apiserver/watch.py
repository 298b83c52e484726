"""One watch: the events of a resource from a revision on, bookmarks, a time limit, and how it fails.

After k8s.io/apiserver pkg/storage/cacher, and what a real server (1.36) was seen to do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass

import orjson

from playground.apiserver.errors import forbidden, invalid
from playground.apiserver.resources import Resource
from playground.apiserver.selectors import Matcher
from playground.apiserver.storage import Change, Storage, Subscription
from playground.values import Object

BOOKMARK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch of a client.

    `revision` is None for "from the state of now". `seconds` ends the watch; the client of an idle one gets
    `bookmarks` if it wants them. `render` makes of an object what is sent.
    """

    storage: Storage
    resource: Resource
    namespace: str
    matches: Matcher
    render: Callable[[Object], Object]
    revision: int | None
    seconds: float
    bookmarks: bool

    async def lines(self) -> AsyncIterator[bytes]:
        """JSON lines, one event each. Ends when the time is up."""
        subscription = self.storage.subscribe(self.resource.key)
        try:
            for line in self._backlog():
                yield line
            async for line in self._live(subscription):
                yield line
        finally:
            self.storage.watchers.discard(subscription)

    def _backlog(self) -> Iterable[bytes]:
        """Events before the subscription: all objects as ADDED in the order of names, or the log since a revision."""
        if self.revision is None:
            there = self.storage.items(self.resource.key, self.namespace)
            return [_line("ADDED", self.render(obj)) for obj in there if self.matches(obj)]
        changes = self.storage.changes_after(self.resource.key, self.revision)
        return [line for change in changes if (line := self._event(change))]

    async def _live(self, subscription: Subscription) -> AsyncIterator[bytes]:
        """Changes as they come. A client that asked from a future revision receives nothing until then."""
        future = self.revision or 0
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.seconds
        while (now := clock()) < deadline:
            try:
                async with asyncio.timeout(min(deadline - now, BOOKMARK_SECONDS)):
                    change = await subscription.queue.get()
            except TimeoutError:
                if self.bookmarks and self.storage.revision >= future:
                    yield self._bookmark()
                continue
            if change.revision > future and (line := self._event(change)):
                yield line

    def _event(self, change: Change) -> bytes | None:
        """An object that enters or leaves the selector is ADDED or DELETED to this client."""
        if self.namespace and change.object["metadata"].get("namespace") != self.namespace:
            return None
        before = change.previous is not None and self.matches(change.previous)
        after = change.type != "DELETED" and self.matches(change.object)
        if not before and not after:
            return None
        kind = "DELETED" if not after else "MODIFIED" if before else "ADDED"
        return _line(kind, self.render(change.object))

    def _bookmark(self) -> bytes:
        meta = {"resourceVersion": str(self.storage.revision), "creationTimestamp": None}
        kind, version = self.resource.kind, self.resource.api_version
        return _line("BOOKMARK", {"kind": kind, "apiVersion": version, "metadata": meta})


def start(query: Mapping[str, str], resource: Resource) -> int | None:
    """The revision that a watch begins at; 422 for a streaming list, which is not served."""
    if "sendInitialEvents" in query:
        why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        raise invalid("ListOptions", "meta.k8s.io", resource.plural, forbidden("sendInitialEvents", why))
    text = query.get("resourceVersion", "")
    return int(text) if text not in ("", "0") else None


def _line(kind: str, obj: Object) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"

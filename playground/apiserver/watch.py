"""One watch: the events of a resource from a revision on, bookmarks, a time limit, and how it fails.

After k8s.io/apiserver pkg/storage/cacher, and what a real server (1.36) was seen to do.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass

import orjson

from playground.apiserver.errors import ApiError, forbidden, invalid
from playground.apiserver.resources import Resource
from playground.apiserver.selectors import Matcher
from playground.apiserver.storage import Change, Storage, Subscription
from playground.values import Object


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch of a client.

    `revision` is None for "from the state of now". `seconds` ends the watch, `bookmark_seconds` is the time between
    bookmarks (None: none are sent). `render` makes of an object what is sent.
    """

    storage: Storage
    resource: Resource
    namespace: str
    matches: Matcher
    render: Callable[[Object], Object]
    revision: int | None
    seconds: float
    bookmark_seconds: float | None

    async def lines(self) -> AsyncIterator[bytes]:
        """JSON lines, one event each. Ends when the time is up or the storage ends it."""
        subscription = self.storage.subscribe(self.resource.key)
        try:
            for line in self._backlog():
                yield line
            async for line in self._live(subscription):
                yield line
        except ApiError as refusal:
            yield _line("ERROR", refusal.status())
        finally:
            self.storage.watchers.discard(subscription)

    def _backlog(self) -> Iterable[bytes]:
        """Events before the subscription: all objects as ADDED in the order of names, or the log since a revision."""
        if self.revision is None:
            there = self.storage.items(self.resource.key, self.namespace)
            return [_line("ADDED", self.render(obj)) for obj in there if self.matches(obj)]
        if self.revision < self.storage.compacted:
            text = f"too old resource version: {self.revision} ({self.storage.revision})"
            raise ApiError(410, "Expired", text)
        changes = self.storage.changes_after(self.resource.key, self.revision)
        return [line for change in changes if (line := self._event(change))]

    async def _live(self, subscription: Subscription) -> AsyncIterator[bytes]:
        """Changes as they come. A client that asked from a future revision receives nothing until then."""
        future, pause = self.revision or 0, self.bookmark_seconds or self.seconds
        deadline = time.monotonic() + self.seconds
        bookmark = time.monotonic() + pause
        while (now := time.monotonic()) < deadline:
            try:
                async with asyncio.timeout(max(0.0, min(deadline, bookmark) - now)):
                    change = await subscription.queue.get()
            except TimeoutError:
                if self.bookmark_seconds is not None and self.storage.revision >= future:
                    yield self._bookmark()
                bookmark = time.monotonic() + pause
                continue
            if change is None:
                return
            if isinstance(change, Exception):
                raise change
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
    """The revision that a watch begins at; 422 for a streaming list, which is not served, 500 for no number."""
    if "sendInitialEvents" in query:
        why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        raise invalid("ListOptions", "meta.k8s.io", resource.plural, forbidden("sendInitialEvents", why))
    text = query.get("resourceVersion", "")
    if text and not text.isdigit():
        raise ApiError(500, "InternalError", f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text) if text not in ("", "0") else None


def _line(kind: str, obj: Object) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"

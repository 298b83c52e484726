"""One watch: the events of a resource from a revision on, bookmarks, a time limit, and how it fails.

After k8s.io/apiserver pkg/storage/cacher; the odd corners are those found on a real server (1.36).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from playground.apiserver.errors import ApiError, Cause, expired, invalid
from playground.apiserver.resources import Resource
from playground.apiserver.storage import Change, Storage, Subscription

Object = dict[str, Any]
Matcher = Callable[[Mapping[str, Any]], bool]
Render = Callable[[Object], Object]

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Cut(Exception):
    """The connection is to break in the middle of the stream."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What the client asked for. `revision` is None for "from the state of now"; `seconds` ends the watch."""

    namespace: str
    revision: int | None
    seconds: float
    bookmarks: bool
    initial: bool
    matches: Matcher
    bookmark_seconds: float


def watch_options(
    query: Mapping[str, str], resource: Resource, namespace: str, matches: Matcher, *, gate: bool, every: float
) -> WatchOptions:
    """Reads the query of a watch; 422 where the WatchList rules are broken, 500 for a revision that is no number."""
    initial = query.get("sendInitialEvents") == "true"
    if "sendInitialEvents" in query:
        _check_initial(query, resource, gate=gate)
    text = query.get("resourceVersion", "")
    if text and not text.isdigit():
        raise ApiError(500, "InternalError", f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return WatchOptions(
        namespace,
        int(text) if text not in ("", "0") else None,
        float(query.get("timeoutSeconds") or 1800),
        query.get("allowWatchBookmarks") == "true",
        initial,
        matches,
        every,
    )


def _check_initial(query: Mapping[str, str], resource: Resource, *, gate: bool) -> None:
    if not gate:
        why = "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    elif query.get("resourceVersionMatch") != "NotOlderThan":
        why = 'Forbidden: sendInitialEvents requires setting resourceVersionMatch to "NotOlderThan"'
    else:
        return
    cause = Cause("sendInitialEvents", "FieldValueForbidden", why)
    raise invalid("ListOptions", "meta.k8s.io", resource.plural, [cause])


async def stream(storage: Storage, resource: Resource, options: WatchOptions, render: Render) -> AsyncIterator[bytes]:
    """JSON lines, one event each. Ends when the time is up or the server interrupts; raises Cut to break off."""
    subscription = storage.subscribe(resource.key)
    try:
        for line in _backlog(storage, resource, options, render):
            yield line
        async for line in _live(storage, resource, subscription, options, render):
            yield line
    except ApiError as refusal:
        yield _line("ERROR", refusal.status())
    finally:
        storage.unsubscribe(subscription)


def _backlog(storage: Storage, resource: Resource, options: WatchOptions, render: Render) -> list[bytes]:
    """What happened before the subscription: the state of now as ADDED in name order, or the log since a revision."""
    if options.revision is None or options.initial:
        there = [obj for obj in storage.items(resource.key, options.namespace) if options.matches(obj)]
        lines = [_line("ADDED", render(obj)) for obj in there]
        if options.initial and options.bookmarks:
            lines.append(_bookmark(resource, storage.revision, initial_end=True))
        return lines
    if options.revision < storage.compacted:
        raise expired(f"too old resource version: {options.revision} ({storage.revision})")
    changes = storage.changes_after(resource.key, options.revision)
    return [line for change in changes if (line := _event(change, options, render))]


async def _live(
    storage: Storage, resource: Resource, subscription: Subscription, options: WatchOptions, render: Render
) -> AsyncIterator[bytes]:
    """Changes as they come. A client that asked from a revision of the future stays without a word, as for real."""
    future = options.revision or 0
    deadline = time.monotonic() + options.seconds
    bookmark = time.monotonic() + options.bookmark_seconds
    while (now := time.monotonic()) < deadline:
        try:
            async with asyncio.timeout(max(0.0, min(deadline, bookmark) - now)):
                change = await subscription.queue.get()
        except TimeoutError:
            if options.bookmarks and storage.revision >= future:
                yield _bookmark(resource, storage.revision)
            bookmark = time.monotonic() + options.bookmark_seconds
            continue
        if change is None:
            return
        if isinstance(change, Exception):
            raise change
        if change.revision > future and (line := _event(change, options, render)):
            yield line


def _event(change: Change, options: WatchOptions, render: Render) -> bytes | None:
    """An object that enters or leaves the selector is ADDED or DELETED to this watcher."""
    if options.namespace and change.object["metadata"].get("namespace") != options.namespace:
        return None
    before = change.previous is not None and options.matches(change.previous)
    after = change.type != "DELETED" and options.matches(change.object)
    if before and after:
        return _line("MODIFIED", render(change.object))
    if after:
        return _line("ADDED", render(change.object))
    return _line("DELETED", render(change.object)) if before else None


def _bookmark(resource: Resource, revision: int, *, initial_end: bool = False) -> bytes:
    meta: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        meta["annotations"] = {INITIAL_EVENTS_END: "true"}
    return _line("BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta})


def _line(kind: str, obj: Object) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"

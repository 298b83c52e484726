"""Keeps a copy of all objects of one resource: LIST, then WATCH from there, permanently, through every fault.

Hands over the WHOLE set at every change, so that what vanished without a watch is seen too. An outage changes
nothing: the last known set is kept. Why a plain LIST and not a streaming one: ADR 8.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from itertools import chain
from random import random as uniform
from typing import Any

from probe_sidecar.kube.client import KubeClient, Resource, Selection
from probe_sidecar.kube.documents import IDENTITY, NAME_LENGTH, NO_NAME, Object, Unreadable, parsed, trimmed
from probe_sidecar.kube.errors import GARBAGE, LONGEST_RETRY_AFTER, UNREACHABLE, ApiError, Backoff, from_status

log = logging.getLogger(__name__)

OnChange = Callable[[Mapping[str, Object], frozenset[str], bool], None]

WATCH_SECONDS = 240
"""The server ends a watch after this plus up to a quarter: replicas that started together drift apart."""

IDLE_SECONDS = 72.0
"""The API server sends a bookmark every 60 s on an idle watch: a longer pause is a dead connection."""

HEALTHY_SECONDS = 10.0
"""A watch that lasted this long (more than it takes to give up connecting) shows that the server works."""

STEADY_SECONDS = 1.0
"""An event this long after the beginning of its watch shows the same; one at once may come from each of many watches
that are cut, ten a second.
"""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0

FAILING_SECONDS = 60.0

DEEPEST = 64
"""Levels of an object, twice what the CRD allows; the encoder of what is written goes 254 deep."""

EVENTS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")


class Reflector:
    """Calls `on_change(objects by uid, uids that came, changed or vanished, first)` after every change.

    The `first` call comes with the first LIST, also when that is empty. The mapping is the live copy: read it during
    the call, don't keep it; `objects` is always the present one, by uid. An exception of `on_change` ends `run`.
    `clock` is monotonic, in seconds. `synced` says that a LIST has come through, `last_contact` when the API server
    last sent data, or when the Reflector was made; `lists`, `watches` and `failures` count. `unreadable` has, by
    namespace/name, the objects that cannot be read; `on_change` is also called when they change. `list_problem` is the
    error of the last LIST if the API server refused it, empty otherwise. A watch without data for `idle` seconds is
    dead. Between two attempts are `longest_pause` seconds at most, or `longest_retry_after` where the server says so.
    """

    def __init__(
        self,
        client: KubeClient,
        selection: Selection,
        on_change: OnChange,
        *,
        idle: float = IDLE_SECONDS,
        longest_pause: float = LONGEST_PAUSE,
        longest_retry_after: float = LONGEST_RETRY_AFTER,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = uniform,
    ) -> None:
        self._client = client
        self._selection = selection
        self._on_change = on_change
        self._idle = idle
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._backoff = Backoff(FIRST_PAUSE, longest_pause, random, longest_retry_after)
        self.objects: dict[str, Object] = {}
        self._version: str | None = None  # where to watch from; None: only a LIST can tell
        self.synced = False
        self.last_contact = clock()
        self.lists = 0
        self.watches = 0
        self.failures = 0
        self.list_problem = ""
        self.unreadable: dict[str, Unreadable] = {}

    @property
    def silence(self) -> float:
        """Seconds since the API server last sent data; since the start, if it never did."""
        return self._clock() - self.last_contact

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            pause = await self._round()
            if pause > 0:
                await self._sleep(pause)

    async def _round(self) -> float:
        """One LIST, if there is need of one, and one watch; returns the seconds to wait before the next."""
        opened: float | None = None
        try:
            if self._version is None:
                self._version = await self._list()
            opened = self._clock()
            await self._watch(self._version)
            self._touch()
        except ApiError as error:
            return self._failed(error, opened)
        return 0.0 if self._healthy(opened) else self._backoff.pause()

    async def _list(self) -> str:
        self.lists += 1
        keep = partial(_kept, texts={})
        unreadable = list[Unreadable]()
        found, version = await self._client.list(self._selection, keep, unreadable.append)
        self._touch()
        before, self.unreadable = self.unreadable, {}
        for problem in unreadable:
            self._note_unreadable(problem, before)
        kept = {uid: item for uid, item in self.objects.items() if _name(item) in self.unreadable}
        fresh = kept | {item["metadata"]["uid"]: item for item in found}
        changed = {uid for uid, item in fresh.items() if self._differs(uid, item)} | (self.objects.keys() - fresh)
        first, self.synced = not self.synced, True
        self.list_problem = ""
        self.objects = fresh
        if changed or first or unreadable:
            self._on_change(self.objects, frozenset(changed), first)
        return version

    async def _watch(self, version: str) -> None:
        self.watches += 1
        steady_from = self._clock() + STEADY_SECONDS
        seconds = round(WATCH_SECONDS * (1 + self._random() / 4))
        lines = self._client.watch(self._selection, version, seconds=seconds, idle=self._idle)
        try:
            async with asyncio.timeout(seconds + self._idle), aclosing(lines):
                async for line in lines:
                    self._touch()
                    if line.strip():
                        await self._receive(line)
                        if self._clock() >= steady_from:
                            self._backoff.reset()
                        await asyncio.sleep(0)  # many lines may have come together
        except TimeoutError:
            raise ApiError(0, UNREACHABLE, f"the watch did not end after {seconds} s") from None

    async def _receive(self, line: bytes) -> None:
        try:
            event = await parsed(line, "object")
        except ValueError as error:
            raise ApiError(200, GARBAGE, f"a line of the watch is not JSON: {error}") from error
        kind, item = (event.get("type"), event.get("object")) if isinstance(event, dict) else (None, None)
        if kind not in EVENTS or not isinstance(item, dict | Unreadable):
            raise ApiError(200, GARBAGE, "a line of the watch is not an event")
        try:
            if isinstance(item, Unreadable):
                raise item
            self._take(kind, item)
        except Unreadable as problem:
            if kind == "DELETED":
                self._forget(problem.name)
            else:
                self._note_unreadable(problem, self.unreadable)
                self._on_change(self.objects, frozenset(), False)

    def _forget(self, name: str) -> None:
        """An object has gone of which only the name can be read."""
        gone = [uid for uid, item in self.objects.items() if _name(item) == name]
        for uid in gone:
            del self.objects[uid]
        self.unreadable.pop(name, None)
        self._on_change(self.objects, frozenset(gone), False)

    def _note_unreadable(self, problem: Unreadable, before: Mapping[str, Unreadable]) -> None:
        """Its last readable version is kept, or it is left out; no other object is affected. Raises ApiError for what
        has no name: that is not an object of a tenant, but a server that is broken.
        """
        if NO_NAME in problem.name.split("/"):
            raise ApiError(200, GARBAGE, problem.problem)
        if problem.name not in before or before[problem.name].problem != problem.problem:
            log.warning("%s: an object cannot be read and is skipped: %s", self._selection.resource.plural, problem)
        self.unreadable[problem.name] = problem.alone()

    def _take(self, kind: str, item: Object) -> None:
        """One event, in the order the server sends them."""
        if kind == "ERROR":
            raise from_status(item)
        if kind == "BOOKMARK":
            self._version = _metadata(item, "resourceVersion")
            return
        uid = _kept(item, {})["metadata"]["uid"]
        self._version = _metadata(item, "resourceVersion")
        self.unreadable.pop(_name(item), None)
        if kind == "DELETED":
            if self.objects.pop(uid, None) is None:
                return
        elif not self._differs(uid, item):
            return
        else:
            self.objects[uid] = item
        self._on_change(self.objects, frozenset((uid,)), False)

    def _failed(self, error: ApiError, opened: float | None) -> float:
        """A watch that failed or was cut continues at its version; after anything else only a LIST tells."""
        self.failures += 1
        if self._version is None and error.status and error.status < 500 and error.status != 429:
            self.list_problem = str(error)
        if error.reason != UNREACHABLE and error.status not in (429, 503):
            self._version = None
        self._healthy(opened)
        pause = self._backoff.pause(error.retry_after)
        log.warning("%s: %s; retrying in %.1f s", self._selection.resource.plural, error, pause)
        return pause

    def _healthy(self, opened: float | None) -> bool:
        """Whether the watch lasted: then what ended it is no sign of trouble, and the next pause is a short one."""
        if opened is None or self._clock() - opened < HEALTHY_SECONDS:
            return False
        self._backoff.reset()
        return True

    def _differs(self, uid: str, item: Object) -> bool:
        held = self.objects.get(uid)
        return held is None or _metadata(held, "resourceVersion") != _metadata(item, "resourceVersion")

    def _touch(self) -> None:
        self.last_contact = self._clock()


class Reflectors:
    """One copy of all objects of a resource in some namespaces, or in all: a Reflector for each, seen as one. Rights by
    Roles allow no LIST across namespaces, so each namespace is listed and watched by itself.

    Calls `on_change` as the Reflector of the namespace with the change does. No `namespaces` means all of them, with
    one watch. `labels` is a label selector. `each` is for those who count.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        on_change: OnChange,
        *,
        namespaces: Sequence[str] = (),
        labels: str = "",
    ) -> None:
        self._places: Sequence[str | None] = tuple(namespaces) or (None,)
        self.each = tuple(Reflector(client, Selection(resource, place, labels), on_change) for place in self._places)

    def get(self, uid: str) -> Object | None:
        """An object as last seen."""
        return next((one.objects[uid] for one in self.each if uid in one.objects), None)

    def uids(self) -> Iterator[str]:
        """Of all that is there, as last seen."""
        return chain.from_iterable(one.objects for one in self.each)

    @property
    def unlisted(self) -> str | None:
        """Namespaces without a successful LIST yet, or "all namespaces"; None if there are none."""
        missing = [place for place, one in zip(self._places, self.each, strict=True) if not one.synced]
        return ", ".join(place or "all namespaces" for place in missing) or None

    @property
    def failing(self) -> str | None:
        """Error of LISTs that have failed for FAILING_SECONDS; None if there is none."""
        problems = (one.list_problem for one in self.each if one.silence > FAILING_SECONDS)
        return next(filter(None, problems), None)

    @property
    def unreadable(self) -> list[Unreadable]:
        """Objects that cannot be read and are not worked for, or only by what they were before."""
        return [problem for one in self.each for problem in one.unreadable.values()]

    async def run(self) -> None:
        """List and watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in self.each:
                group.create_task(one.run())


def _kept(item: Any, texts: dict[str, str]) -> Object:
    """A complete object without the metadata that is never read, with equal texts stored once. `texts` are those seen
    so far.
    """
    for field in IDENTITY:
        try:
            _metadata(item, field)
        except ApiError as error:
            raise Unreadable(_stated(item), error.message) from None
    metadata = item["metadata"] = trimmed(item["metadata"])
    for field, value in item.items():
        try:
            item[field] = _once(value, texts, DEEPEST - 1)
        except RecursionError:
            problem = f"{field} is nested more than {DEEPEST} levels deep: write values that are nested less deeply"
            raise Unreadable(metadata, problem) from None
    kept: Object = item
    return kept


def _once(value: Any, texts: dict[str, str], levels: int) -> Any:
    """`value` with each text held once: an address is in the spec and in the status, a reason at every address.

    Raises RecursionError for more than so many levels.
    """
    if not levels:
        raise RecursionError
    if isinstance(value, str):
        return texts.setdefault(value, value)
    if isinstance(value, dict):
        for field, inner in value.items():
            value[field] = _once(inner, texts, levels - 1)
    elif isinstance(value, list):
        value[:] = [_once(inner, texts, levels - 1) for inner in value]
    return value


def _name(item: Any) -> str:
    """namespace/name, as far as they can be read."""
    stated = _stated(item)
    return "/".join(str(stated.get(field, NO_NAME))[:NAME_LENGTH] for field in ("namespace", "name"))


def _stated(item: Any) -> Object:
    """The metadata, as far as there is any."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _metadata(item: Any, field: str) -> str:
    """A field of the metadata that every stored object has."""
    value = _stated(item).get(field)
    if not isinstance(value, str) or not value:
        raise ApiError(200, GARBAGE, f"an object without metadata.{field}")
    return value

"""Writes Events (events.k8s.io/v1) at its own pace: who tells never waits; what finds no room is dropped and counted.

What is told again within six minutes is counted on the Event that there is (`series`), as client-go does; unlike there
the text must be the same too, for a series shows only its first. An Event that cannot be written is forgotten.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from probe_sidecar.events.note import Note
from probe_sidecar.kube.client import ApiError, KubeClient, Object, Resource

log = logging.getLogger(__name__)

EVENTS: Final = Resource("events.k8s.io", "v1", "events")
CONTROLLER: Final = "eso.crowdfox.com/prober"

SERIES_SECONDS: Final = 360.0
"""client-go's tools/events: what comes within six minutes of the one before belongs to its series."""

MOST_WAITING: Final = 1_000
MOST_REMEMBERED: Final = 10_000
BURST: Final = 50
PER_SECOND: Final = 5.0

Key = tuple[str, str, str]


@dataclass(slots=True)
class Counters:
    """Since the start. `dropped`: there was no room to wait; `failed`: the API server did not take it."""

    written: int = 0
    dropped: int = 0
    failed: int = 0


@dataclass(slots=True, eq=False)
class _Series:
    """One Event, and how often it was told."""

    regarding: Object
    note: Note
    name: str
    begun: str
    told_at: float
    last: str
    count: int = 1
    stored: bool = False


def micro_time() -> str:
    """The wall clock as meta/v1 MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class EventRecorder:
    """Needs `run` running. `instance` names this process, `clock` is monotonic seconds, `now` a meta/v1 MicroTime."""

    def __init__(
        self,
        client: KubeClient,
        instance: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], str] = micro_time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        identity: Callable[[], str] = lambda: uuid4().hex[:16],
    ) -> None:
        self._client = client
        self._instance = instance[:128]
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._identity = identity
        self._series: OrderedDict[Key, _Series] = OrderedDict()  # the one told last at the end
        self._waiting: OrderedDict[Key, _Series] = OrderedDict()
        self._something = asyncio.Event()
        self._budget = float(BURST)
        self._budget_at = clock()
        self.counters = Counters()

    def tell(self, about: Object, notes: Iterable[Note]) -> None:
        """Write these about an object, as soon as there is room. Never blocks, never fails."""
        regarding = _reference(about)  # thousands are remembered, and whole objects would take kilobytes each
        for note in notes:
            self._tell(regarding, note)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._something.wait()
            while self._waiting:
                await self._spend()
                _, series = self._waiting.popitem(last=False)
                await self._write(series)
            self._something.clear()

    def _tell(self, regarding: Object, note: Note) -> None:
        key = (regarding["uid"], note.reason, note.text)
        if key not in self._waiting and len(self._waiting) >= MOST_WAITING:
            self.counters.dropped += 1
            return
        now = self._clock()
        series = self._series.pop(key, None)
        if series is not None and now - series.told_at < SERIES_SECONDS:
            series.count += 1
            series.told_at, series.last = now, self._now()
        else:
            wall = self._now()
            series = _Series(regarding, note, self._name(regarding), wall, now, wall)
        self._series[key] = self._waiting[key] = series
        while len(self._series) > MOST_REMEMBERED or now - next(iter(self._series.values())).told_at >= SERIES_SECONDS:
            self._series.popitem(last=False)
        self._something.set()

    async def _spend(self) -> None:
        """Wait until the budget has room for one: PER_SECOND on the whole, BURST at once."""
        now = self._clock()
        self._budget = min(BURST, self._budget + (now - self._budget_at) * PER_SECOND)
        self._budget_at = now
        if self._budget < 1:
            await self._sleep((1 - self._budget) / PER_SECOND)
        self._budget -= 1

    async def _write(self, series: _Series) -> None:
        namespace = series.regarding["namespace"]
        try:
            if series.stored and await self._counted_on(namespace, series):
                return
            await self._client.create(EVENTS, namespace, self._event(series))
            series.stored = True
            self.counters.written += 1
        except ApiError as error:
            self.counters.failed += 1
            log.debug("an event about %s/%s is lost: %s", namespace, series.regarding["name"], error)
            if error.retry_after is not None:
                await self._sleep(error.retry_after)

    async def _counted_on(self, namespace: str, series: _Series) -> bool:
        """Whether the Event was still there to be counted on: the API server keeps them for an hour."""
        operations = [{"op": "add", "path": "/series", "value": _counted(series)}]
        try:
            await self._client.patch(EVENTS, namespace, series.name, operations)
        except ApiError as error:
            if error.status != 404:
                raise
            series.name = self._name(series.regarding)
            return False
        self.counters.written += 1
        return True

    def _name(self, regarding: Object) -> str:
        return f"{regarding['name'][:200]}.{self._identity()}"

    def _event(self, series: _Series) -> Object:
        event: Object = {
            "apiVersion": f"{EVENTS.group}/{EVENTS.version}",
            "kind": "Event",
            "metadata": {"name": series.name, "namespace": series.regarding["namespace"]},
            "eventTime": series.begun,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": series.note.action,
            "reason": series.note.reason,
            "type": "Warning" if series.note.warning else "Normal",
            "note": series.note.text,
            "regarding": series.regarding,
        }
        return event | {"series": _counted(series)} if series.count > 1 else event


def _reference(about: Object) -> Object:
    """core/v1 ObjectReference."""
    metadata: Object = about["metadata"]
    return {name: about[name] for name in ("apiVersion", "kind")} | {
        name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")
    }


def _counted(series: _Series) -> Object:
    return {"count": series.count, "lastObservedTime": series.last}

"""Writes Events (events.k8s.io/v1) at its own pace: callers never wait; what finds no room is dropped and counted.

Namespaces take turns, and so do the objects of a namespace; where there is no room, the namespace of which the most
Events wait loses one (design R10). An Event that waits already is not added again. One that cannot be written is lost.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import uuid4

from probe_sidecar.events.note import Note
from probe_sidecar.fair_queue import FairQueue
from probe_sidecar.kube.client import KubeClient, Resource, micro_time
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import ApiError

log = logging.getLogger(__name__)

EVENTS: Final = Resource("events.k8s.io", "v1", "events")
CONTROLLER: Final = "eso.crowdfox.com/prober"

MOST_WAITING: Final = 1_000
BURST: Final = 50
PER_SECOND: Final = 5.0


@dataclass(slots=True)
class Counters:
    """Since the start. `dropped`: there was no room to wait; `failed`: the API server did not take it."""

    written: int = 0
    dropped: int = 0
    failed: int = 0


_Key = tuple[str, str, str]
"""Uid, reason and text."""


class _Event(NamedTuple):
    """An Event that waits to be written: `at` is when it happened, a meta/v1 MicroTime."""

    regarding: Object
    note: Note
    at: str


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
        self._turns: FairQueue[_Key] = FairQueue()
        self._waiting: dict[_Key, _Event] = {}
        self._something = asyncio.Event()
        self._budget = float(BURST)
        self._budget_at = clock()
        self.counters = Counters()

    def record(self, about: Object, notes: Iterable[Note]) -> None:
        """Write these about an object, as soon as there is room. Never blocks, never fails."""
        regarding = _reference(about)  # many may wait, and whole objects would take kilobytes each
        for note in notes:
            self._enqueue(regarding, note)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._something.wait()
            while self._waiting:
                await self._spend()
                if (key := self._turns.pop()) is not None:
                    await self._write(self._waiting.pop(key))
            self._something.clear()

    def _enqueue(self, regarding: Object, note: Note) -> None:
        key = (regarding["uid"], note.reason, note.text)
        if key in self._waiting:
            return
        if len(self._waiting) >= MOST_WAITING and (oldest := self._turns.pop(self._turns.longest().__eq__)) is not None:
            self.counters.dropped += 1
            del self._waiting[oldest]
        self._turns.push(key, (regarding["namespace"], regarding["name"]))
        self._waiting[key] = _Event(regarding, note, self._now())
        self._something.set()

    async def _spend(self) -> None:
        """Wait until the budget has room for one: PER_SECOND on the whole, BURST at once."""
        now = self._clock()
        self._budget = min(BURST, self._budget + (now - self._budget_at) * PER_SECOND)
        self._budget_at = now
        if self._budget < 1:
            await self._sleep((1 - self._budget) / PER_SECOND)
        self._budget -= 1

    async def _write(self, event: _Event) -> None:
        namespace = event.regarding["namespace"]
        try:
            await self._client.create(EVENTS, namespace, self._manifest(event))
            self.counters.written += 1
        except ApiError as error:
            if error.status == 409 and event.note.once:
                return
            self.counters.failed += 1
            log.debug("an Event for %s/%s was dropped: %s", namespace, event.regarding["name"], error)
            if error.retry_after is not None:
                await self._sleep(error.retry_after)

    def _manifest(self, event: _Event) -> Object:
        return {
            "apiVersion": f"{EVENTS.group}/{EVENTS.version}",
            "kind": "Event",
            "metadata": {
                "name": f"{event.regarding['name'][:200]}.{event.note.once or self._identity()}",
                "namespace": event.regarding["namespace"],
            },
            "eventTime": event.at,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": event.note.action,
            "reason": event.note.reason,
            "type": "Warning" if event.note.warning else "Normal",
            "note": event.note.text,
            "regarding": event.regarding,
        }


def _reference(about: Object) -> Object:
    """core/v1 ObjectReference."""
    metadata: Object = about["metadata"]
    return {name: about[name] for name in ("apiVersion", "kind")} | {
        name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")
    }

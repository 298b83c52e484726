"""Sends the status writes of all ExternalServices: whose turn it is, and how many requests may be in flight.

Namespaces take turns, and so do the ExternalServices of a namespace (design R10).

`writer` decides for each ExternalService what is written and when.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from itertools import islice
from math import inf
from random import random as uniform
from typing import TYPE_CHECKING, Final

from probe_sidecar.fair_queue import FairQueue
from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import GARBAGE, ApiError

if TYPE_CHECKING:
    from probe_sidecar.status.writer import StatusWriter

log = logging.getLogger(__name__)

FAULT_SECONDS = 60.0
"""Between a fault of our own in one writer and its next attempt."""

RESOLUTION = 0.001
"""Seconds: no wait is shorter. Otherwise the rounding error of a wait would be waited for again and again."""

INITIAL_STATUS_DELAY: Final = (2.0, 10.0)
"""Longest wait (s) after a creation or a change of the spec: before any write of Metacontroller's has been seen, and
after that. At its default limit of 5 requests a second, five new objects take it 4 to 7 s."""

WORKERS: Final = 5
"""Metacontroller's default --workers: how many objects it syncs at a time, in the order of their changes."""

WAITING_SECONDS: Final = 0.5
"""Seconds by which a response may be slower than that of a single write. A renewal that waits behind our writes for so
long is still in time.
"""


@dataclass(slots=True)
class Counters:
    """Counters since the start."""

    writes: int = 0
    conflicts: int = 0  # another client was faster (409): read again
    reasserts: int = 0  # writes of what had been written before and was overwritten
    vanished: int = 0  # 404: deleted while we wrote
    errors: int = 0


class PendingSyncs:
    """The ExternalServices that Metacontroller has not synced yet, the longest first, and how long our first write
    waits for it (ADR 2): before Metacontroller's (`observedGeneration`) it makes Metacontroller's stale.

    Times are in seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._since: dict[Hashable, float] = {}
        self._longest = INITIAL_STATUS_DELAY[0]

    def begin(self, item: Hashable, now: float) -> None:
        """`item` has a new spec. An object that waits already continues to wait."""
        self._since.setdefault(item, now)

    def end(self, item: Hashable) -> float | None:
        """`item` has been synced, or is gone: since when it has waited; None if it did not."""
        return self._since.pop(item, None)

    def elapse(self, now: float) -> None:
        """Forget those that have waited for too long."""
        while self._since and now >= next(iter(self._since.values())) + self._longest:
            del self._since[next(iter(self._since))]

    def seen(self) -> None:
        """Metacontroller has written the status of some object: it runs, so more time is worth waiting."""
        self._longest = INITIAL_STATUS_DELAY[1]

    def wait_until(self, item: Hashable) -> float:
        """Until when `item` waits; -inf: not at all, because Metacontroller is at work on others."""
        return self._since[item] + self._longest if item in islice(self._since, WORKERS) else -inf


class ConcurrencyLimit:
    """Status writes that may be in flight: as many as the API server handles without a queue (ADR 9), 1 to `most`.

    Writes queued there delay the renewals of the Leases too, on any connection. The limit grows while a response comes
    as fast as for a single write, and is halved otherwise.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 1.0
        self._alone = inf  # seconds of a response while no other request of ours was in flight
        self._halved_at = -inf

    @property
    def size(self) -> int:
        """At least 1."""
        return int(self._size)

    def answered(self, began: float, now: float, *, alone: bool) -> None:
        """A request that began then has ended, however; `alone`: no other of ours was in flight when it began."""
        seconds = now - began
        self._alone = seconds if alone else min(self._alone, seconds)
        if seconds <= self._alone + WAITING_SECONDS:
            self._size = min(self._size + 1 / self._size, float(self._most))
        elif began >= self._halved_at:  # what was in flight as it was halved only says the same again
            self._size, self._halved_at = max(self._size / 2, 1.0), now

    def rest(self) -> None:
        """Nothing is in flight and nothing waits: by the next time the API server may be slower."""
        self._size = 1.0


class StatusPublisher:
    """Needs `run` running. All other methods are called from the loop's thread and never block.

    `limit` bounds the requests in flight over all writers, one at most for each, and an API server that is slow gets
    fewer (ADR 9). `clock` is the loop's, in seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: KubeClient,
        resource: Resource,
        *,
        limit: int = 32,
        random: Callable[[], float] = uniform,
    ) -> None:
        self.client = client
        self.resource = resource
        self.clock = loop.time
        self.random = random
        self.counters = Counters()
        self.pending_syncs = PendingSyncs()
        self.paused_until = 0.0  # the API server sent Retry-After to all writers
        self.closing = False
        self._limit = ConcurrencyLimit(limit)
        self._loop = loop
        self._ready: FairQueue[StatusWriter] = FairQueue()  # to be considered
        self._timers: dict[StatusWriter, asyncio.TimerHandle] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._stopped = False  # nothing is sent any more

    async def run(self) -> None:
        """Publish until closed or cancelled. A fault of one writer delays that writer alone."""
        self._running = asyncio.current_task()
        async with self._group:
            while not (self.closing and not self._ready and not self._requests):
                await self._changed.wait()
                self._changed.clear()
                while len(self._requests) < self._limit.size and (writer := self._ready.pop()) is not None:
                    self._consider(writer)
                    await asyncio.sleep(0)  # a thousand addresses take milliseconds: let the probes in between
                if not self._ready and not self._requests:
                    self._limit.rest()
            self._stop_timers()

    async def close(self, within: float = 1.0) -> None:
        """Send what is wanted by now, finish what is in flight, within that many seconds; then `run` returns.

        A write that waits out a back-off is left to the next owner, who starts from the status (design R6).
        """
        self.closing = True
        for writer in list(self._timers):
            writer.mark()
        self._changed.set()
        if self._running is None:
            return
        _, unfinished = await asyncio.wait([self._running], timeout=within)
        if unfinished:
            log.warning("stopping with %d status writes unfinished", len(self._requests) + len(self._ready))
            self._stopped = True
            self._ready.clear()
            self._stop_timers()
            for request in self._requests:
                request.cancel()
            await asyncio.wait(unfinished)

    def enqueue(self, writer: "StatusWriter") -> None:
        """Consider `writer` when its turn comes."""
        if self._stopped:
            return
        self._ready.push(writer, writer.group)
        self._changed.set()

    def wake_at(self, writer: "StatusWriter", due: float) -> None:
        """Consider `writer` at `due`. One timer a writer, the earliest: a writer that is early waits again."""
        due, timer = max(due, self.clock() + RESOLUTION), self._timers.get(writer)
        if not self.closing and (timer is None or timer.when() > due):
            self.stop_timer(writer)
            self._timers[writer] = self._loop.call_at(due, self._wake, writer)

    def stop_timer(self, writer: "StatusWriter") -> None:
        """Cancel `wake_at`."""
        if (timer := self._timers.pop(writer, None)) is not None:
            timer.cancel()

    def forget(self, writer: "StatusWriter") -> None:
        """Never consider `writer` again. A request of it that is in flight ends by itself."""
        self._ready.discard(writer)
        self.stop_timer(writer)

    def send(self, writer: "StatusWriter", request: Callable[[], Awaitable[None]]) -> None:
        """Begin the one request of `writer`; its methods `failed` and `ended` report the end."""
        self.stop_timer(writer)
        task = self._group.create_task(self._guarded(writer, request))
        self._requests.add(task)
        task.add_done_callback(lambda task: self._ended(writer, task))

    async def timed(self, request: Awaitable[Object]) -> Object:
        """The response to `request`; its time counts for the limit."""
        began, alone = self.clock(), len(self._requests) == 1
        try:
            return await request
        finally:
            self._limit.answered(began, self.clock(), alone=alone)

    def _consider(self, writer: "StatusWriter") -> None:
        try:
            writer.consider()
        except Exception:  # one object must not end the writes of all others (R8)
            log.exception("internal error: a status cannot be computed; retrying in %.0f s", FAULT_SECONDS)
            self.wake_at(writer, self.clock() + FAULT_SECONDS)

    def _wake(self, writer: "StatusWriter") -> None:
        del self._timers[writer]
        writer.mark()

    async def _guarded(self, writer: "StatusWriter", request: Callable[[], Awaitable[None]]) -> None:
        try:
            await request()
        except ApiError as error:
            writer.failed(error)
        except Exception as error:
            log.exception("internal error in a status write")
            writer.failed(ApiError(0, GARBAGE, type(error).__name__))

    def _ended(self, writer: "StatusWriter", task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._changed.set()
        writer.ended()

    def _stop_timers(self) -> None:
        for writer in list(self._timers):
            self.stop_timer(writer)

"""Writes each ExternalService's wanted `.status`, level-triggered (design R2, R3; ADR 1).

New, lost and overwritten are one case: what is seen differs from what is wanted, so it is written, under the lock. It
knows nothing of probes and specs; what is wanted, and whether the object is ours at all, `wanted` tells.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import inf
from random import random as uniform

from probe_sidecar.kube.client import ApiError, Backoff, KubeClient, Object, Resource
from probe_sidecar.status.concurrency_limit import ConcurrencyLimit
from probe_sidecar.status.known import seen_revision, seen_status
from probe_sidecar.status.patch import patch
from probe_sidecar.status.stored import content_hash, older, place, version, whole
from runtime.logs import about

log = logging.getLogger(__name__)

CONTEST = (0.05, 10.0)
"""First and longest pause (s) before a status that somebody keeps overwriting is written again. Without the guard,
Metacontroller's window from GET to PUT is seconds long under its default rate limit: the pauses must outgrow it."""

ERROR = (0.1, 30.0)
"""First and longest pause (s) after an API server that failed or refused."""

QUIET_SECONDS = 90.0
"""So long without trouble (longer than any pause with the request after it), and an object's pauses begin anew."""

DOUBT_SECONDS = 30.0
"""So long the watch may lag behind our own last write before the object is read again."""

INITIAL_STATUS_DELAY = (2.0, 10.0)
"""Longest wait (s) for Metacontroller's own status write (`observedGeneration`) after a creation or a change of the
spec: before any of its writes has been seen, and after that. A write of ours before it makes Metacontroller's a stale
one (ADR 2). At its default limit of 5 requests a second, five new objects take it 4 to 7 s."""

WORKERS = 5
"""Metacontroller's default --workers: how many objects it syncs at a time, in the order of their changes."""

SETTLE = (0.5, 2.0)
"""Time (s) for Metacontroller's syncs after a change of the object, ours included: at least, and at most where it took
longer for its own write, or where the object keeps changing. A write during a sync makes the status write of that sync
a stale one."""

GATHER = (0.01, 0.05)
"""Interval (s) at which the probes in flight for the same object are looked at, and the longest wait for them: what
they come to goes out in the same write."""


RESOLUTION = 0.001
"""Seconds: no wait is shorter. What a rounding error leaves of one would otherwise be waited for again and again."""


@dataclass(slots=True)
class Counters:
    """What has happened since the start; each only ever goes up."""

    writes: int = 0
    conflicts: int = 0  # another client was faster (409): read again
    reasserts: int = 0  # writes of what had been written before and was overwritten
    vanished: int = 0  # 404: deleted while we wrote
    errors: int = 0


@dataclass(slots=True, eq=False)
class _Parent:
    """One ExternalService as last seen, and what is under way for it."""

    uid: str
    seen: Object
    contests: Backoff
    errors: Backoff
    busy: bool = False  # a request of ours is under way
    dirty: bool = False  # something came up meanwhile
    ahead: bool = False  # `seen` is an answer to us that the watch has not shown yet
    doubt_at: float | None = None  # when to read again if the watch still has not caught up
    differs_since: float | None = None  # when the wanted status was first found to differ from the stored one
    changed_at: float = -inf  # when another version of it was last seen
    settle: float = SETTLE[0]  # seconds without another version before something new is written
    unsynced_generation: int | None = None  # of the spec, the last one that Metacontroller was waited for
    held_until: float = 0.0  # nothing is sent before
    reassert_at: float | None = None  # what was overwritten is not written again before
    troubled_at: float = 0.0
    told: bytes | None = None  # the content_hash of what we wrote last ...
    stored: bytes | None = None  # ... and of what the API server made of it, where that differs
    telling: bytes | None = None  # the content_hash of the write that was begun last, whatever became of it
    timer: asyncio.Task[None] | None = None
    timer_due: float = inf


class StatusPublisher:
    """Needs `run` running. `observe` and `wake` never block and are called from the loop's thread.

    `wanted(raw)` gives the whole desired status of an object as read, or None: not ours, or not to be judged now. It is
    called as late as possible, so that whatever came meanwhile goes out in one write. `limit` bounds the requests in
    flight over all objects, one at most for each, and an API server that is slow gets fewer (ADR 9).
    `probing(uid)` says whether probes of that object are in flight.
    `on_news(before, after)` hears of each write that told something new, not of what was only written again, and
    `on_rival(raw)` of a status with a higher revision that is not ours, before `wanted` is asked again (ADR 10).
    `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        wanted: Callable[[Object], Object | None],
        *,
        limit: int = 32,
        probing: Callable[[str], bool] = lambda _: False,
        on_news: Callable[[Object, Object], None] = lambda *_: None,
        on_rival: Callable[[Object], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = uniform,
    ) -> None:
        self._client = client
        self._resource = resource
        self._wanted = wanted
        self._window = ConcurrencyLimit(limit)
        self._probing = probing
        self._on_news = on_news
        self._on_rival = on_rival
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._parents: dict[str, _Parent] = {}
        self._initial_delay = INITIAL_STATUS_DELAY[0]
        self._unsynced: dict[_Parent, float] = {}  # since when Metacontroller has not written, the longest first
        self._ready: dict[_Parent, None] = {}  # an ordered set: to be looked at, first come first served
        self._requests: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._changed = asyncio.Event()
        self._finished = asyncio.Event()
        self._running = False
        self._closing = False
        self._held_until = 0.0  # the API server asked all of us to wait (Retry-After)
        self.counters = Counters()

    def observe(self, uid: str, raw: Object | None) -> None:
        """What the watch shows of an object; None: it is gone."""
        parent = self._parents.get(uid)
        if raw is None:
            if parent is not None:
                self._forget(parent)
            return
        if parent is None:
            contests, errors = Backoff(*CONTEST, self._random), Backoff(*ERROR, self._random)
            parent = self._parents[uid] = _Parent(uid, raw, contests, errors)
            self._note_sync(parent)
        elif parent.ahead and older(raw, parent.seen):
            # The watch replays what came before our own write; should it never catch up, we read again.
            if parent.doubt_at is None:
                parent.doubt_at = self._clock() + DOUBT_SECONDS
                self._wake_at(parent, parent.doubt_at)
            return
        else:
            changed = version(raw) != version(parent.seen)
            self._see(parent, raw)
            parent.ahead, parent.doubt_at = False, None
            if not changed:
                return
        self._mark(parent)

    def wake(self, uid: str) -> None:
        """Something that `wanted` looks at has changed: a result, the ownership, the policy."""
        parent = self._parents.get(uid)
        if parent is not None:
            self._mark(parent)

    async def run(self) -> None:
        """Publish until closed or cancelled. A bug in `wanted` or here ends it with that exception."""
        self._running = True
        try:
            async with self._group:
                while not (self._closing and not self._ready and not self._requests):
                    await self._changed.wait()
                    self._changed.clear()
                    while self._ready and len(self._requests) < self._window.size:
                        parent = next(iter(self._ready))
                        del self._ready[parent]
                        self._consider(parent)
                        await asyncio.sleep(0)  # a thousand addresses take milliseconds: let the probes in between
                    if not self._ready and not self._requests:
                        self._window.rest()
                for parent in self._parents.values():
                    self._stop_timer(parent)
        finally:
            self._running = False
            self._finished.set()

    async def close(self, within: float = 1.0) -> None:
        """Send what is wanted by now, finish what is in flight, within that many seconds; then `run` returns.

        What is waiting out a back-off is left to the next owner, who starts from the status (design R6).
        """
        self._closing = True
        for parent in self._parents.values():
            if parent.differs_since is not None:
                self._mark(parent)
        self._changed.set()
        if not self._running:
            return
        try:
            async with asyncio.timeout(within):
                await self._finished.wait()
        except TimeoutError:
            log.warning("stopping with %d status writes unfinished", len(self._requests) + len(self._ready))
            for parent in list(self._parents.values()):
                self._forget(parent)
            for request in self._requests:
                request.cancel()
            await self._finished.wait()

    # -- deciding: no await from here to the sending ------------------------------------------------------------------

    def _mark(self, parent: _Parent) -> None:
        if parent.busy:
            parent.dirty = True
        else:
            self._ready[parent] = None
            self._changed.set()

    def _consider(self, parent: _Parent) -> None:
        """Send what is due for one object, or arm the timer for it."""
        now = self._clock()
        held_until = max(parent.held_until, self._held_until)
        if now < held_until:
            self._wake_at(parent, held_until)
        elif parent.doubt_at is not None and now >= parent.doubt_at:
            self._start(parent, partial(self._read, parent, parent.seen))
        else:
            self._compare(parent, now)
            if parent.doubt_at is not None:
                self._wake_at(parent, parent.doubt_at)

    def _compare(self, parent: _Parent, now: float) -> None:
        desired = self._wanted(parent.seen)
        operations = [] if desired is None else patch(parent.seen, desired)
        if desired is None or not operations:
            parent.reassert_at = parent.differs_since = None
            return
        telling = content_hash(desired)
        overwritten = telling == parent.told
        if overwritten and parent.stored is not None and content_hash(parent.seen.get("status")) == parent.stored:
            return  # the API server stores our status differently, and has done so again: see _written
        if not (self._may_reassert(parent, now) if overwritten else self._may_write(parent, now)):
            return
        self.counters.reasserts += overwritten
        parent.reassert_at, parent.telling = None, telling
        self._start(parent, partial(self._write, parent, telling, operations))

    def _may_write(self, parent: _Parent, now: float) -> bool:
        """Whether something new may be written yet; if not, the object is looked at again when it may (ADR 2).

        A new object or spec waits for Metacontroller's own write if Metacontroller may be at work on it, any object for
        the syncs after a change, and a moment for probes in flight. With none of these it is written at once.
        """
        if parent.differs_since is None:
            parent.differs_since = now
        since = parent.differs_since
        due = min(max(since, parent.changed_at + parent.settle), since + SETTLE[1])
        if parent in islice(self._unsynced, WORKERS):
            due = self._unsynced[parent] + self._initial_delay
        step, longest = GATHER
        if due <= now < since + longest and self._probing(parent.uid):
            due = now + step
        if self._closing or due <= now:
            return True
        self._wake_at(parent, due)
        return False

    def _note_sync(self, parent: _Parent) -> None:
        """Keeps `_unsynced`. An object is in it once for each generation, and not for longer than the delay."""
        now, generation = self._clock(), parent.seen["metadata"].get("generation")
        observed = seen_status(parent.seen).get("observedGeneration")
        if observed is not None:
            self._initial_delay = INITIAL_STATUS_DELAY[1]
        while self._unsynced and now >= next(iter(self._unsynced.values())) + self._initial_delay:
            del self._unsynced[next(iter(self._unsynced))]
        if observed == generation:
            if (since := self._unsynced.pop(parent, None)) is not None:
                parent.settle = min(max(SETTLE[0], now - since), SETTLE[1])
                parent.differs_since = None
        elif generation != parent.unsynced_generation:
            self._unsynced.setdefault(parent, now)
            parent.unsynced_generation, parent.changed_at = generation, now

    def _may_reassert(self, parent: _Parent, now: float) -> bool:
        """Whether the pause after an overwriting is over; the first call begins it."""
        if parent.reassert_at is None:
            parent.reassert_at = now + self._contested(parent)
        if now < parent.reassert_at:
            self._wake_at(parent, parent.reassert_at)
            return False
        return True

    def _contested(self, parent: _Parent) -> float:
        self._troubled(parent)
        return parent.contests.pause()

    def _troubled(self, parent: _Parent) -> None:
        now = self._clock()
        if now - parent.troubled_at > QUIET_SECONDS:
            parent.contests.reset()
            parent.errors.reset()
        parent.troubled_at = now

    def _forget(self, parent: _Parent) -> None:
        self._parents.pop(parent.uid, None)
        self._ready.pop(parent, None)
        self._unsynced.pop(parent, None)
        self._stop_timer(parent)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _wake_at(self, parent: _Parent, due: float) -> None:
        """Look at `parent` again at `due`. One timer an object, the earliest; who is looked at too early waits on."""
        if self._closing or parent.timer_due <= due:
            return
        self._stop_timer(parent)
        parent.timer_due = due
        parent.timer = self._group.create_task(self._later(parent, max(due - self._clock(), RESOLUTION)))

    async def _later(self, parent: _Parent, seconds: float) -> None:
        await self._sleep(seconds)
        parent.timer, parent.timer_due = None, inf
        self._mark(parent)

    def _stop_timer(self, parent: _Parent) -> None:
        if parent.timer is not None:
            parent.timer.cancel()
        parent.timer, parent.timer_due = None, inf

    # -- sending ------------------------------------------------------------------------------------------------------

    def _start(self, parent: _Parent, request: Callable[[], Awaitable[None]]) -> None:
        self._stop_timer(parent)
        parent.busy, parent.dirty = True, False
        task = self._group.create_task(self._guarded(parent, request))
        self._requests.add(task)
        task.add_done_callback(partial(self._ended, parent))

    async def _guarded(self, parent: _Parent, request: Callable[[], Awaitable[None]]) -> None:
        try:
            await request()
        except ApiError as error:
            self._failed(parent, error)

    def _ended(self, parent: _Parent, task: asyncio.Task[None]) -> None:
        """However it ended, the object is looked at again if anything came up meanwhile."""
        self._requests.discard(task)
        self._changed.set()
        parent.busy = False
        if parent.dirty and self._parents.get(parent.uid) is parent:
            self._mark(parent)

    async def _write(self, parent: _Parent, telling: bytes, operations: list[Object]) -> None:
        before = parent.seen
        namespace, name = place(before)
        try:
            answer = whole(await self._timed(self._client.patch_status(self._resource, namespace, name, operations)))
        except ApiError as error:
            if error.status != 409:
                raise
            await self._lost_race(parent, before)
        else:
            self._written(parent, before, answer, telling)

    def _written(self, parent: _Parent, before: Object, answer: Object, telling: bytes) -> None:
        self.counters.writes += 1
        parent.differs_since, parent.settle = None, SETTLE[0]
        parent.errors.reset()
        news = telling != parent.told
        parent.told = telling
        kept = content_hash(answer.get("status"))
        parent.stored = None if kept == telling else kept
        if parent.stored is not None:
            owner = "/".join(place(before))
            log.error(
                "%s: the API server stores another status than the one written; is the CRD older?",
                owner,
                extra=about(owner),
            )
        self._take(parent, before, answer)
        if news:
            self._on_news(before, answer)

    async def _lost_race(self, parent: _Parent, before: Object) -> None:
        """After a 409: another client was faster. The first retry goes out at once."""
        fresh = await self._fresh(before)
        self.counters.conflicts += 1
        pause = self._contested(parent)
        if parent.contests.attempts > 1:
            parent.held_until = self._clock() + pause
        self._take(parent, before, fresh)
        parent.dirty = True

    async def _read(self, parent: _Parent, before: Object) -> None:
        fresh = await self._fresh(before)
        parent.ahead, parent.doubt_at = False, None
        if parent.seen is before:
            self._see(parent, fresh)
        parent.dirty = True

    async def _fresh(self, before: Object) -> Object:
        """The object as it is now; one of the same name that is not the same object counts as gone."""
        namespace, name = place(before)
        fresh = whole(await self._timed(self._client.get(self._resource, namespace, name)))
        if fresh["metadata"]["uid"] != before["metadata"]["uid"]:
            raise ApiError(404, "NotFound", "another object has taken the name")
        return fresh

    async def _timed(self, request: Awaitable[Object]) -> Object:
        began, alone = self._clock(), len(self._requests) == 1
        try:
            return await request
        finally:
            self._window.answered(began, self._clock(), alone=alone)

    def _take(self, parent: _Parent, before: Object, fresh: Object) -> None:
        """An answer is newer than what the watch showed, unless the watch was faster than the answer."""
        if parent.seen is before or older(parent.seen, fresh):
            self._see(parent, fresh)
            parent.ahead, parent.doubt_at = True, None

    def _see(self, parent: _Parent, fresh: Object) -> None:
        """Somebody else's newer status is told of before it is decided what to write over it."""
        newer = (seen_revision(fresh) or 0) > (seen_revision(parent.seen) or 0)
        if version(fresh) != version(parent.seen):
            parent.changed_at = self._clock()
        parent.seen = fresh
        self._note_sync(parent)
        if newer and content_hash(fresh.get("status")) not in (parent.told, parent.stored, parent.telling):
            self._on_rival(fresh)

    def _failed(self, parent: _Parent, error: ApiError) -> None:
        """404 is calm: the watch will tell. All else waits, longer each time, and as long as the server asks."""
        self._troubled(parent)
        pause = parent.errors.pause(error.retry_after)
        if error.status == 404:
            self.counters.vanished += 1
        else:
            self.counters.errors += 1
            owner = "/".join(place(parent.seen))
            log.warning("%s: status not written: %s; again in %.1f s", owner, error, pause, extra=about(owner))
        now = self._clock()
        parent.held_until = now + pause
        if error.retry_after is not None:
            self._held_until = max(self._held_until, now + min(error.retry_after, pause))
        parent.dirty = True

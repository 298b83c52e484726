"""Writes the wanted `.status` of one ExternalService, level-triggered (design R2, R3; ADR 1).

New, lost and overwritten are one case: the stored status differs from the wanted one, so it is written, under the lock.
The writer does not depend on probes and specs; its ExternalService computes the wanted status.
"""

import logging
from functools import partial
from math import inf
from typing import Final, Protocol

from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import ApiError, Backoff
from probe_sidecar.status.patch import content_hash, older, patch, place, version, whole
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status.stored import revision, stored_status
from runtime.logs import about

log = logging.getLogger(__name__)

CONTEST: Final = (0.05, 10.0)
"""First and longest pause (s) before a status that another client keeps overwriting is written again. Without the
guard, Metacontroller's window from GET to PUT is seconds long under its default rate limit: the pauses must outgrow
it."""

ERROR: Final = (0.1, 30.0)
"""First and longest pause (s) after an API server that failed or refused."""

QUIET_SECONDS: Final = 90.0
"""So long without trouble (longer than any pause with the request after it), and the pauses start from the first."""

REREAD_SECONDS: Final = 30.0
"""So long the watch may lag behind our own last write before the object is read again."""

SETTLE: Final = (0.5, 2.0)
"""Time (s) for Metacontroller's syncs after a change of the object, including our writes: at least, and at most where
it took longer for its own write, or where the object keeps changing. A write during a sync makes the status write of
that sync a stale one.
"""

GATHER: Final = (0.01, 0.05)
"""Interval (s) at which the probes in flight for the same object are looked at, and the longest wait for them: their
results go out in the same write."""


class Subject(Protocol):
    """The ExternalService whose status is written."""

    @property
    def probing(self) -> bool:
        """Whether a probe of it is in flight."""
        ...

    def wanted(self, raw: Object) -> Object | None:
        """The whole wanted status of the object as read, or None: owned by another replica, or not to be evaluated now.

        Called as late as possible, so that all results until then go out in one write.
        """
        ...

    def written(self, before: Object, after: Object) -> None:
        """A status with new content was written, not one that was only written again."""

    def superseded(self, raw: Object) -> None:
        """The object has a status of another writer with a higher revision (ADR 10). Called before `wanted`."""


class StatusWriter:
    """Writes for one ExternalService; `stored` is it as last seen. `observe`, `mark` and `close` never block."""

    def __init__(self, publisher: StatusPublisher, subject: Subject, raw: Object) -> None:
        self._publisher = publisher
        self._subject = subject
        self.stored = raw
        self.group = place(raw)  # whose turn it takes in the publisher
        self._contests = Backoff(*CONTEST, publisher.random)
        self._errors = Backoff(*ERROR, publisher.random)
        self._busy = False  # a request of ours is in flight
        self._dirty = False  # something came up meanwhile
        self._closed = False
        self._ahead = False  # `stored` is a response that the watch has not shown yet
        self._reread_at: float | None = None  # when to read again if the watch still has not caught up
        self._differs_since: float | None = None  # when the wanted status was first found to differ from the stored one
        self._changed_at = -inf  # when another version of it was last seen
        self._settle = SETTLE[0]  # seconds without another version before something new is written
        self._unsynced_generation: object = None  # of the spec, the last one that Metacontroller was waited for
        self._paused_until = 0.0  # nothing is sent before
        self._reassert_at: float | None = None  # what was overwritten is not written again before
        self._troubled_at = 0.0
        self._written_hash: bytes | None = None  # the content_hash of what we wrote last ...
        self._stored_hash: bytes | None = None  # ... and of what the API server made of it, where that differs
        self._sent_hash: bytes | None = None  # the content_hash of the last write, whatever its result
        self._note_sync()

    def observe(self, raw: Object) -> None:
        """The watch shows this version of the object."""
        if self._ahead and older(raw, self.stored):
            # The watch replays what came before our own write; should it never catch up, we read again.
            if self._reread_at is None:
                self._reread_at = self._publisher.clock() + REREAD_SECONDS
                self._publisher.wake_at(self, self._reread_at)
            return
        changed = version(raw) != version(self.stored)
        self._see(raw)
        self._ahead, self._reread_at = False, None
        if changed:
            self.mark()

    def mark(self) -> None:
        """The wanted status may have changed."""
        if self._closed:
            return
        if self._busy:
            self._dirty = True
        else:
            self._publisher.enqueue(self)

    def close(self) -> None:
        """The object is gone, or owned by another replica: nothing more is sent."""
        self._closed = True
        self._publisher.forget(self)
        self._publisher.pending_syncs.end(self)

    # -- deciding: no await from here to the sending ------------------------------------------------------------------

    def consider(self) -> None:
        """Send what is due, or arm the timer for it."""
        now = self._publisher.clock()
        paused_until = max(self._paused_until, self._publisher.paused_until)
        if now < paused_until:
            self._publisher.wake_at(self, paused_until)
        elif self._reread_at is not None and now >= self._reread_at:
            self._busy, self._dirty = True, False
            self._publisher.send(self, partial(self._read, self.stored))
        else:
            self._compare(now)
            if self._reread_at is not None:
                self._publisher.wake_at(self, self._reread_at)

    def _compare(self, now: float) -> None:
        desired = self._subject.wanted(self.stored)
        operations = [] if desired is None else patch(self.stored, desired)
        if desired is None or not operations:
            self._reassert_at = self._differs_since = None
            return
        content = content_hash(desired)
        overwritten = content == self._written_hash
        kept = self._stored_hash
        if overwritten and kept is not None and content_hash(self.stored.get("status")) == kept:
            return  # the API server stores our status differently, and has done so again: see _written
        if not (self._may_reassert(now) if overwritten else self._may_write(now)):
            return
        self._publisher.counters.reasserts += overwritten
        self._reassert_at, self._sent_hash = None, content
        self._busy, self._dirty = True, False
        self._publisher.send(self, partial(self._write, content, operations))

    def _may_write(self, now: float) -> bool:
        """Whether new content may be written yet; if not, the object is considered again when it may (ADR 2)."""
        if self._differs_since is None:
            self._differs_since = now
        due = self._due(self._differs_since, now)
        if self._publisher.closing or due <= now:
            return True
        self._publisher.wake_at(self, due)
        return False

    def _due(self, since: float, now: float) -> float:
        """When new content is due that has differed since then.

        A new object or spec waits for Metacontroller's own write if Metacontroller may be at work on it, any object for
        the syncs after a change, and a moment for probes in flight. With none of these it is due at once.
        """
        due = min(max(since, self._changed_at + self._settle), since + SETTLE[1])
        synced = self._publisher.pending_syncs.wait_until(self)
        if synced != -inf:
            due = synced
        interval, longest = GATHER
        if due <= now < since + longest and self._subject.probing:
            return now + interval
        return due

    def _note_sync(self) -> None:
        """An object waits for Metacontroller once for each generation, and not for longer than the delay."""
        now, pending = self._publisher.clock(), self._publisher.pending_syncs
        generation = self.stored["metadata"].get("generation")
        observed = stored_status(self.stored).get("observedGeneration")
        if observed is not None:
            pending.seen()
        pending.elapse(now)
        if observed == generation:
            if (since := pending.end(self)) is not None:
                self._settle = min(max(SETTLE[0], now - since), SETTLE[1])
                self._differs_since = None
        elif generation != self._unsynced_generation:
            pending.begin(self, now)
            self._unsynced_generation, self._changed_at = generation, now

    def _may_reassert(self, now: float) -> bool:
        """Whether the pause after an overwriting is over; the first call begins it."""
        if self._reassert_at is None:
            self._reassert_at = now + self._contested()
        if now < self._reassert_at:
            self._publisher.wake_at(self, self._reassert_at)
            return False
        return True

    def _contested(self) -> float:
        self._note_trouble()
        return self._contests.pause()

    def _note_trouble(self) -> None:
        now = self._publisher.clock()
        if now - self._troubled_at > QUIET_SECONDS:
            self._contests.reset()
            self._errors.reset()
        self._troubled_at = now

    # -- sending ------------------------------------------------------------------------------------------------------

    def ended(self) -> None:
        """However the request ended, the object is considered again if anything came up meanwhile."""
        self._busy = False
        if self._dirty:
            self.mark()

    def failed(self, error: ApiError) -> None:
        """404 is calm: the watch will show it. Other errors are retried with back-off, at least after the server's
        Retry-After.
        """
        self._note_trouble()
        pause = self._errors.pause(error.retry_after)
        if error.status == 404:
            self._publisher.counters.vanished += 1
        else:
            self._publisher.counters.errors += 1
            owner = "/".join(place(self.stored))
            log.warning("%s: status not written: %s; retrying in %.1f s", owner, error, pause, extra=about(owner))
        now = self._publisher.clock()
        self._paused_until = now + pause
        if error.retry_after is not None:
            self._publisher.paused_until = max(self._publisher.paused_until, now + min(error.retry_after, pause))
        self._dirty = True

    async def _write(self, content: bytes, operations: list[Object]) -> None:
        before = self.stored
        namespace, name = place(before)
        request = self._publisher.client.patch(self._publisher.resource, namespace, name, operations, "status")
        try:
            stored = whole(await self._publisher.timed(request))
        except ApiError as error:
            if error.status != 409:
                raise
            await self._lost_race(before)
        else:
            self._written(before, stored, content)

    def _written(self, before: Object, stored: Object, content: bytes) -> None:
        self._publisher.counters.writes += 1
        self._differs_since, self._settle = None, SETTLE[0]
        self._errors.reset()
        new = content != self._written_hash
        self._written_hash = content
        kept = content_hash(stored.get("status"))
        self._stored_hash = None if kept == content else kept
        if self._stored_hash is not None:
            owner = "/".join(place(before))
            log.error(
                "%s: the API server stored another status than the one written: the CRD may be older than the operator",
                owner,
                extra=about(owner),
            )
        self._take(before, stored)
        if new:
            self._subject.written(before, stored)

    async def _lost_race(self, before: Object) -> None:
        """After a 409: another client was faster. The first retry goes out at once."""
        fresh = await self._fresh(before)
        self._publisher.counters.conflicts += 1
        pause = self._contested()
        if self._contests.attempts > 1:
            self._paused_until = self._publisher.clock() + pause
        self._take(before, fresh)
        self._dirty = True

    async def _read(self, before: Object) -> None:
        fresh = await self._fresh(before)
        self._ahead, self._reread_at = False, None
        if self.stored is before:
            self._see(fresh)
        self._dirty = True

    async def _fresh(self, before: Object) -> Object:
        """The object as it is now; one of the same name that is not the same object counts as gone."""
        namespace, name = place(before)
        request = self._publisher.client.get(self._publisher.resource, namespace, name)
        fresh = whole(await self._publisher.timed(request))
        if fresh["metadata"]["uid"] != before["metadata"]["uid"]:
            raise ApiError(404, "NotFound", "another object has taken the name")
        return fresh

    def _take(self, before: Object, fresh: Object) -> None:
        """A response is newer than the object of the watch, unless the watch was faster."""
        if self.stored is before or older(self.stored, fresh):
            self._see(fresh)
            self._ahead, self._reread_at = True, None

    def _see(self, fresh: Object) -> None:
        """A newer status of another client is reported before the next write over it is decided."""
        newer = revision(stored_status(fresh)) > revision(stored_status(self.stored))
        if version(fresh) != version(self.stored):
            self._changed_at = self._publisher.clock()
        self.stored = fresh
        if self._closed:
            return
        self._note_sync()
        ours = (self._written_hash, self._stored_hash, self._sent_hash)
        if newer and content_hash(fresh.get("status")) not in ours:
            self._subject.superseded(fresh)

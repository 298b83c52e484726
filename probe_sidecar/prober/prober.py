"""Starts the probes of all addresses when they are due, and counts what they come to. One for the whole process.

It uses no socket, no API server and no clock but that of the given loop.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from math import inf

from probe_sidecar.prober.counters import LATENESS_BOUNDS, Durations, appended
from probe_sidecar.prober.outage import SuspectedOutage
from probe_sidecar.prober.schedule import Schedule, following, spread
from probe_sidecar.prober.target import Target, record
from probe_sidecar.probes.engine import TOGETHER, TURN_SECONDS, ProbeEngine, ProbeHandle
from probe_sidecar.probes.exchange import FAILURE, UNKNOWN, Outcome
from runtime.logs import about

log = logging.getLogger(__name__)

NO_PLACE = "NoPlaceLeft"
"""Reason of a delay: a probe found no place among those in flight until the next one was due."""

MOST_PREPARED = 128
"""First probes that are started in one turn of the loop, and fewer after TURN_SECONDS: the request of each has to be
made, which takes 0.03 to 0.3 ms. The thousand addresses of one ExternalService take 8 turns (design R10).
"""

FAULT = "ProberFault"
"""Reason of a delay: two probes of an address in a row have failed in the prober itself, each tried again before it was
given up."""


class Prober:
    """The schedule of all targets and its one timer.

    Probes are due on multiples of `grid` seconds (0: anywhere): one wake for all that share one. `phase` in [0, 1)
    says where in their period the first probes of a start are (default: random). `before_tick` is called before probes
    are started, because timers may be late. `faults` and `collapsed_ticks` count since the process started, `lateness`
    is actual minus due of each start.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: ProbeEngine,
        outage: SuspectedOutage,
        *,
        grid: float = 0.0,
        phase: float | None = None,
        before_tick: Callable[[], None] | None = None,
    ) -> None:
        self.faults = self.collapsed_ticks = 0
        self.lateness = Durations(LATENESS_BOUNDS)
        self.outage = outage
        self._loop = loop
        self._engine = engine
        self._phase = random.random() if phase is None else phase  # noqa: S311 - spreads load, guards nothing
        self._before_tick = before_tick
        self._schedule: Schedule[Target] = Schedule(grid)
        self._unprepared: deque[tuple[float, Target]] = deque()  # first probes that are due, each with its due time
        self._spread = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def next_due(self) -> float:
        """When `tick` has something to do next, in seconds of the loop's clock; inf for never."""
        scheduled = self._unprepared[0][0] if self._unprepared else self._schedule.next_due()
        return min(scheduled, self.outage.next_due())

    def overdue(self) -> float:
        """Seconds by which the schedule is late; 0 if it is not. The liveness probe looks at it."""
        return max(0.0, self._loop.time() - self.next_due())

    def arm(self) -> None:
        """Set the timer to the next due time; to be called whenever that may have become earlier."""
        due = self.next_due()
        if due == inf or self._closed:
            return
        if self._timer is not None:
            if self._timer.when() <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._wake)

    def close(self) -> None:
        """Never start a probe again."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def plan(self, target: Target, due: float) -> None:
        """Probe `target` at `due`. The caller arms the timer."""
        target.due = self._schedule.add(target, due)

    def spread(self, period: float) -> float:
        """Seconds to wait with the first probe of an address, one of many that are started together."""
        self._spread += 1
        return spread(self._spread - 1, period, self._phase)

    def retire(self, target: Target) -> None:
        """Do not probe it any more."""
        target.retired = True
        self.outage.guard.forget(target)
        self._cancel(target)

    def hasten(self, target: Target, *, probed_every: int) -> None:
        """An address that has just become not ready is probed again after notReadyPeriodSeconds, if that is sooner."""
        sooner = following(target.due - probed_every, target.period, self._loop.time())
        if sooner < target.due:
            self.plan(target, sooner)
            self.arm()

    def tick(self) -> None:
        """Start every probe that is due, but no more than MOST_PREPARED first ones; the others are still due."""
        now = self._loop.time()
        self.outage.tick(now)
        started = list[float]()
        for due, target in self._schedule.pop_due(now):
            if target.retired or due != target.due:
                continue
            if target.prepared is None and not target.problem:
                self._unprepared.append((due, target))
            else:
                self._start_due(due, target, now, started)
        for _ in range(min(MOST_PREPARED, len(self._unprepared))):
            due, target = self._unprepared.popleft()
            if not target.retired and due == target.due:
                self._start_due(due, target, now, started)
            if self._loop.time() > now + TURN_SECONDS:
                break
        self._launch(started)

    def _start_due(self, due: float, target: Target, now: float, started: list[float]) -> None:
        """Start the probe that is due at `due`, and plan the next one; `started` are those to launch together."""
        target.due = self._schedule.add(target, following(due, target.probe.period(ready=target.state.ready), now))
        if target.out_of_turn:  # the probe whose turn it is will find the same
            target.out_of_turn = False
            self._cancel(target)
        if target.handle is not None:
            self._collapse(target, target.handle)
            return
        self._start(target)
        started.append(due)
        if len(started) == TOGETHER:
            self._launch(started)

    def finished(self, target: Target, outcome: Outcome, seconds: float) -> None:
        """A probe of `target` has ended: record it, and notify its owner if a threshold is met."""
        target.handle = None
        if target.retired:
            return
        if target.owner.counters is not None:
            target.owner.counters.note(outcome, seconds)
        now, result = self._loop.time(), outcome.result
        if result is UNKNOWN:
            self._note_fault(target, outcome)
        target.last, target.last_seconds, target.last_at = outcome, seconds, now
        target.history = appended(target.history, result, seconds)
        out_of_turn, target.out_of_turn = target.out_of_turn, False
        ready = None
        if not out_of_turn:
            target.streak, ready = record(target.streak, outcome, target.probe)
        if outcome.no_response:
            if not out_of_turn:
                self.outage.no_response(target, now - seconds, now, ready)
                self.arm()
        else:
            if ready is not None:
                target.owner.transition(target, ready, outcome.message)
            if result is not UNKNOWN:
                failure = result is FAILURE and not out_of_turn
                self.outage.response(target, now - seconds, now, failure=failure)
        if target.held_tick:
            target.held_tick = False
            self._start(target)

    def _wake(self) -> None:
        self._timer = None
        if self._before_tick is not None:
            self._before_tick()
        self.tick()
        self.arm()

    def _start(self, target: Target) -> None:
        prepared = target.prepared or target.owner.prepare(target)
        if prepared is not None:
            self.outage.before(target)
            target.handle = self._engine.start(prepared, target.done)

    def _cancel(self, target: Target) -> None:
        if target.handle is not None:
            self._engine.cancel(target.handle)
            target.handle = None

    def _launch(self, dues: list[float]) -> None:
        """The lateness of a probe lasts until all that were started with it are connecting."""
        self._engine.launch()
        now = self._loop.time()
        for due in dues:
            self.lateness.note(now - due)
        dues.clear()

    def _collapse(self, target: Target, handle: ProbeHandle) -> None:
        """It is due, and the probe before it is not over: one tick is held until then, more are left out."""
        self.collapsed_ticks += target.held_tick
        target.held_tick = True
        if self._engine.waited(handle) > target.period / 2:  # a tick after time away may come soon after the last
            target.owner.subject.delayed(NO_PLACE)

    def _note_fault(self, target: Target, outcome: Outcome) -> None:
        self.faults += 1
        if target.last is not None and target.last.result is UNKNOWN:
            target.owner.subject.delayed(FAULT)
        else:  # one line for a time of trouble, not one a probe
            name = target.owner.name
            log.warning(
                "%s: probing %s failed in the prober itself: %s",
                name, target.ip, outcome.message, extra=about(name, target.ip),
            )  # fmt: skip

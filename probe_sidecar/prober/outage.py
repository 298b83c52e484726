"""Decides whether an address or our own network caused a missing response. Pure; `now` is an argument (ADR 11).

An address that responds at all, with a reset or an HTTP 500, proves that our network reaches it. A missing response
proves nothing by itself: it counts against an address only if another one responded meanwhile, or if none did for too
long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from probe_sidecar.prober.target import Target

REPORT_SECONDS: Final = 2.0
"""A suspected outage is reported after so long. Before that, the addresses probed out of turn usually have responded.
"""


class Unanswered(NamedTuple):
    """The latest probes of an address, all of which got no response, in seconds of the prober's clock.

    `first` and `last` are when the first and the latest of them began; `response_at` is what the guard's `response_at`
    was as the latest one began.
    """

    first: float
    last: float
    response_at: float = -inf

    @property
    def repeated(self) -> bool:
        """Whether there was more than one."""
        return self.last > self.first

    @property
    def interrupted(self) -> bool:
        """Whether another address responded between the first and the latest of them."""
        return self.response_at >= self.first


@dataclass(slots=True)
class Outage:
    """An unbroken time without any response.

    `probe_began` is when the probe began whose transition was the first to become pending.
    """

    probe_began: float
    since: float
    reported: bool = False


class OutageGuard:
    """Delays transitions that missing responses caused. `hold` is for how many seconds a transition waits for proof
    while no address responds; 0: never.

    `response_at` is when the latest probe began that got a response, from any address. `outages` counts those that were
    reported.
    """

    def __init__(self, hold: float) -> None:
        self.hold = hold
        self.response_at = -inf
        self.outage: Outage | None = None
        self.outages = 0
        self._seconds = 0.0
        self._pending: dict[Target, float] = {}  # until when, earliest first: no response since
        self._unproven: dict[Target, None] = {}  # there was a response since, and their own next probe decides
        self._provable: dict[Target, None] = {}  # of both, those that the next response may prove

    @property
    def suspected(self) -> bool:
        """Whether there is an outage that has been reported."""
        return self.outage is not None and self.outage.reported

    @property
    def pending(self) -> int:
        """Number of pending transitions."""
        return len(self._pending) + len(self._unproven)

    def seconds(self, now: float) -> float:
        """Total seconds of suspected outages."""
        return self._seconds + (now - self.outage.since if self.outage is not None and self.outage.reported else 0.0)

    def response_since(self, began: float) -> bool:
        """Whether a probe that began then or later got a response."""
        return self.response_at >= began

    def proven(self, unanswered: Unanswered) -> bool:
        """Whether an address responded between the first and the latest of these probes, and another one since.

        So the latest one began while the network worked, and no single outage of the prober's network covers them all.
        """
        return unanswered.interrupted and self.response_since(unanswered.last)

    def admits(self, item: "Target", unanswered: Unanswered, now: float) -> bool:
        """Whether the transition may be published at once; if not, it is pending.

        For a single unanswered probe (failureThreshold 1) a response since then is enough, unless it was pending.
        """
        fresh = not unanswered.repeated and not self._is_pending(item)
        if self.hold <= 0 or (self.response_since(unanswered.last) if fresh else self.proven(unanswered)):
            self.forget(item)
            return True
        if unanswered.interrupted:
            self._provable[item] = None
        else:
            self._provable.pop(item, None)
        if self.response_since(unanswered.last):
            if not self._is_pending(item):
                self._unproven[item] = None
        elif item not in self._pending:
            self._unproven.pop(item, None)
            self._pending[item] = now + self.hold
            if self.outage is None:
                self.outage = Outage(unanswered.last, now)
        return False

    def response(self, began: float, now: float) -> "Sequence[Target]":
        """A probe that began then got a response. Returns those whose transition is thereby proven and due."""
        self.response_at = max(self.response_at, began)
        if self.outage is not None and began >= self.outage.probe_began:
            self.end(now)
        if not self._provable:
            return ()
        found = [item for item in self._provable if item.unanswered is not None and self.proven(item.unanswered)]
        for item in found:
            self.forget(item)
        return found

    def end(self, now: float) -> None:
        """The outage is over; each pending transition waits for its own next probe."""
        self._seconds, self.outage = self.seconds(now), None
        self._unproven.update(dict.fromkeys(self._pending))
        self._pending.clear()

    def forget(self, item: "Target") -> None:
        """It has responded, or is not probed any more."""
        self._pending.pop(item, None)
        self._unproven.pop(item, None)
        self._provable.pop(item, None)

    def next_due(self) -> float:
        """When `elapse` has something to do; inf for never."""
        report = inf
        if self.outage is not None and not self.outage.reported:
            report = self.outage.since + REPORT_SECONDS
        return min(report, next(iter(self._pending.values()), inf))

    def elapse(self, now: float) -> "Sequence[Target]":
        """Report the outage if it is time. Returns those that have been pending for too long: they are due."""
        if now < self.next_due():
            return ()
        if self.outage is not None and not self.outage.reported:
            self.outage.reported = True
            self.outages += 1
        over = [item for item, until in self._pending.items() if until <= now]
        for item in over:
            self.forget(item)
        return over

    def _is_pending(self, item: "Target") -> bool:
        return item in self._pending or item in self._unproven

"""Suspected outages of the prober's own network: evidence for and against them, and what is reported (ADR 11).

An address that responds at all, with a reset or an HTTP 500, proves that our network reaches it. A missing response
proves nothing by itself: it counts against an address only if another one responded meanwhile, or if none did for too
long.
"""

import asyncio
import logging
import platform
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from external_service.core import Probe
from probe_sidecar.prober.sticky import StickyReason
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.exchange import RESPONDS_WITHIN, UNKNOWN, Outcome
from probe_sidecar.probes.prepare import prepare

if TYPE_CHECKING:
    from probe_sidecar.prober.target import Target

log = logging.getLogger(__name__)

REPORT_SECONDS: Final = 2.0
"""A suspected outage is reported after so long. Before that, the addresses probed out of turn usually have responded.
"""

LEAST_SERVICES, LEAST_ADDRESSES = 2, 3
"""With fewer that are probed, and no canary, a missing response says more about them than about our own network."""

MOST_OUT_OF_TURN = 3
"""Addresses that are probed out of turn at a time, to find out whether any address responds."""

OUT_OF_TURN_SECONDS = 1.0
"""Between two such times."""

COMPARED_SECONDS = 1.0
"""For which the comparison is kept: a thousand ExternalServices may have one address, and each probe asks."""

PERIOD: Final = 0.5
"""Seconds. Between any two probes of an address, a second apart at least, it is thus probed once to the end."""


class FailedProbes(NamedTuple):
    """The latest probes of an address, all of which failed, in seconds of the prober's clock.

    `first` is by when the first of them would have got a response of an address that works (RESPONDS_WITHIN), `last`
    when the latest one began, and `response_at` what the guard's `response_at` was then.
    """

    first: float
    last: float
    response_at: float = -inf

    @classmethod
    def one(cls, began: float, ended: float) -> "FailedProbes":
        """A single one."""
        return cls(began + RESPONDS_WITHIN * (ended - began), began)

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
    """Decides whether an address or our own network caused a missing response, and delays transitions until it is
    decided. Pure; `now` is an argument. `hold` is for how many seconds a transition waits for proof while no address
    responds; 0: never.

    `response_at` is when the latest probe began that got a response, from any address. `outages` counts those that were
    reported.
    """

    def __init__(self, hold: float) -> None:
        self.hold = hold
        self.response_at = -inf
        self.outage: Outage | None = None
        self.outages = 0
        self._seconds = 0.0
        self._ended_at = -inf
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

    def proven(self, failed: FailedProbes) -> bool:
        """Whether an address responded between the first and the latest of these probes, and another one since.

        So the latest one began while the network worked, and no single outage of the prober's network covers them all.
        """
        return failed.interrupted and self.response_since(failed.last)

    def admits(self, item: "Target", failed: FailedProbes, now: float) -> bool:
        """Whether the transition may be published at once; if not, it is pending.

        For a single failed probe (failureThreshold 1) a response since then is enough, unless an outage ended since.
        """
        enough = not failed.repeated and failed.last > self._ended_at
        if self.hold <= 0 or (self.response_since(failed.last) if enough else self.proven(failed)):
            self.forget(item)
            return True
        if failed.interrupted:
            self._provable[item] = None
        else:
            self._provable.pop(item, None)
        if self.response_since(failed.last):
            if not self._is_pending(item):
                self._unproven[item] = None
        elif item not in self._pending:
            self._unproven.pop(item, None)
            self._pending[item] = now + self.hold
            if self.outage is None:
                self.outage = Outage(failed.last, now)
        return False

    def response(self, began: float, now: float) -> "Sequence[Target]":
        """A probe that began then got a response. Returns those whose transition is thereby proven and due."""
        self.response_at = max(self.response_at, began)
        if self.outage is not None and began >= self.outage.probe_began:
            self.end(now)
        if not self._provable:
            return ()
        found = [item for item in self._provable if item.failed is not None and self.proven(item.failed)]
        for item in found:
            self.forget(item)
        return found

    def end(self, now: float) -> None:
        """The outage is over; each pending transition waits for its own next probe."""
        self._seconds, self.outage, self._ended_at = self.seconds(now), None, now
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


class Canary:
    """An address of the operator's choice that is probed twice a second; any response proves that our network works.

    `responds` is whether the latest probe of it got a response, None before the first; `message` is the evidence.
    """

    def __init__(self, probe: Probe, ip: str, dial: str, now: float) -> None:
        self.ip = ip
        self.responds: bool | None = None
        self.message = ""
        self.due = now
        self._prepared = prepare(probe, ip, dial)
        self._running = False

    def tick(self, engine: ProbeEngine, now: float, on_response: Callable[[float], None]) -> None:
        """Probe it if it is time, one probe after the other; `on_response` gets the seconds that a response took."""
        if now < self.due:
            return
        self.due = now + PERIOD
        if not self._running:
            self._running = True
            engine.start(self._prepared, lambda outcome, seconds: self._done(outcome, seconds, on_response))

    def _done(self, outcome: Outcome, seconds: float, on_response: Callable[[float], None]) -> None:
        self._running = False
        if outcome.result is UNKNOWN:
            return
        before, self.responds, self.message = self.responds, not outcome.no_response, outcome.message
        if self.responds and not before:
            log.info("the canary %s responds: %s", self.ip, self.message)
        elif before is not self.responds:
            log.warning("the canary %s (ESO_CANARY) does not respond: %s", self.ip, self.message)
        if self.responds:
            on_response(seconds)


class Probed(Protocol):
    """One ExternalService."""

    @property
    def targets(self) -> "Collection[Target]":
        """Its probed addresses."""
        ...


class SuspectedOutage:
    """The guard of this process, its canary, and the text that ExternalServices report while an outage is suspected.

    `services` is the live collection of all that is probed. `now` is the wall clock as RFC 3339. `on_change` is called
    whenever there may be ExternalServices that have to report the outage, or its end.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine: ProbeEngine,
        services: Collection[Probed],
        *,
        hold: float,
        canary: Canary | None,
        now: Callable[[], str],
        on_change: Callable[[], None],
    ) -> None:
        self.guard = OutageGuard(hold)
        self.canary = canary
        self._loop = loop
        self._engine = engine
        self._services = services
        self._now = now
        self._reason = StickyReason(loop, hold, on_change)
        self._reported = False
        self._out_of_turn_at = -inf
        self._compared = (-inf, 0, False)  # when, among how many ExternalServices, with what result

    @property
    def text(self) -> str:
        """Reported message; empty if there is none. It stays unchanged for the hold time after the end of an outage."""
        return self._reason.text

    def seconds(self) -> float:
        """Total seconds of suspected outages."""
        return self.guard.seconds(self._loop.time())

    def next_due(self) -> float:
        """When `tick` has something to do next; inf for never."""
        return min(self.guard.next_due(), inf if self.canary is None else self.canary.due)

    def tick(self, now: float) -> None:
        """Publish transitions that were pending for long enough, report an outage, probe the canary."""
        if now >= self.guard.next_due():
            self._publish(self.guard.elapse(now))
            self._report()
        if self.canary is not None:
            self.canary.tick(self._engine, now, self._canary_responded)

    def before(self, target: "Target") -> None:
        """A probe of `target` is about to begin."""
        if target.failed is not None:
            target.response_before = self.guard.response_at

    def no_response(self, target: "Target", began: float, now: float, ready: bool | None) -> None:
        """A probe of `target` that began then got no response; `ready` is what the thresholds say (None: nothing).

        Publishes the transition, or keeps it pending.
        """
        before = target.failed
        if before is None:
            failed = FailedProbes.one(began, now)
        else:
            failed = FailedProbes(before.first, began, target.response_before)
        target.failed = failed
        guarded = target.state.ready and self.guard.hold > 0 and self._comparable()
        if guarded and not self.guard.response_since(max(failed.first, failed.last)):
            self._probe_out_of_turn()
        if ready is None:
            return
        if not guarded or self.guard.admits(target, failed, now):
            self._publish((target,))
        else:
            target.pending = True

    def response(self, target: "Target", began: float, now: float, *, failure: bool) -> None:
        """A probe of `target` that began then got a response, be it a `failure` that counts towards its threshold."""
        if target.pending:
            target.pending = False
            self.guard.forget(target)
        if not failure:
            target.failed = None
        elif target.failed is None:
            target.failed = FailedProbes.one(began, now)
        if target.prepared is None or target.prepared.refusal is None:
            self._response(began, now)

    def end_if_idle(self) -> None:
        """Without any ExternalService there is nothing left that could respond."""
        if not self._services:
            self.guard.end(self._loop.time())
            self._report()

    def _canary_responded(self, seconds: float) -> None:
        now = self._loop.time()
        self._response(now - seconds, now)

    def _response(self, began: float, now: float) -> None:
        proven = self.guard.response(began, now)
        if proven or self._reported:
            self._publish(proven)
            self._report()

    def _publish(self, targets: "Iterable[Target]") -> None:
        for target in targets:
            assert target.last is not None  # noqa: S101 - a probe without response has a result
            target.pending = False
            target.owner.transition(target, False, target.last.message)

    def _report(self) -> None:
        if self._reported is self.guard.suspected:
            return
        self._reported = self.guard.suspected
        if self._reported:
            text = (  # it stays the same while the condition is True, because a new one is a write (R3)
                f"No probed address has responded since {self._now()}: the prober's own network may be down "
                f"(Pod {platform.node()}). Ready addresses are kept for up to {self.guard.hold:g} s "
                "(ESO_OUTAGE_HOLD_SECONDS)."
            )
            log.warning("%s", text)
            self._reason.begin(text)
        else:
            log.info("addresses respond again: the prober's own network works")
            self._reason.end()

    def _comparable(self) -> bool:
        """Whether there are enough others to compare with, or a canary."""
        if self.canary is not None:
            return True
        at, among, found = self._compared
        if self._loop.time() - at >= COMPARED_SECONDS or among != len(self._services):
            found = self._compare()
            self._compared = self._loop.time(), len(self._services), found
        return found

    def _compare(self) -> bool:
        services, ips = 0, set[str]()
        for service in self._services:
            services += bool(service.targets)
            ips.update(target.ip for target in islice(service.targets, LEAST_ADDRESSES))
            if services >= LEAST_SERVICES and len(ips) >= LEAST_ADDRESSES:
                return True
        return False

    def _probe_out_of_turn(self) -> None:
        """Probe some of the addresses that responded last, to find out whether any responds."""
        now = self._loop.time()
        if now - self._out_of_turn_at < OUT_OF_TURN_SECONDS:
            return
        self._out_of_turn_at = now
        responded = (target for service in self._services for target in service.targets if target.responded_last)
        for target in list(islice(responded, MOST_OUT_OF_TURN)):
            assert target.prepared is not None  # noqa: S101 - it has responded
            target.out_of_turn = True
            self.before(target)
            target.handle = self._engine.start(target.prepared, target.done)

"""Suspected outages of the prober's own network: evidence for and against them, and what is reported (ADR 11)."""

import asyncio
import logging
import platform
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from math import inf
from typing import Final, Protocol

from external_service.core import Probe
from probe_sidecar.prober.outage import OutageGuard, Unanswered
from probe_sidecar.prober.sticky import StickyReason
from probe_sidecar.prober.target import Target
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.exchange import UNKNOWN, Outcome
from probe_sidecar.probes.prepare import prepare

log = logging.getLogger(__name__)

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

    def tick(self, engine: ProbeEngine, now: float, on_result: Callable[[Outcome, float], None]) -> None:
        """Probe it if it is time, one probe after the other; `on_result` gets the outcome and the seconds it took."""
        if now < self.due:
            return
        self.due = now + PERIOD
        if not self._running:
            self._running = True
            engine.start(self._prepared, lambda outcome, seconds: self._done(outcome, seconds, on_result))

    def _done(self, outcome: Outcome, seconds: float, on_result: Callable[[Outcome, float], None]) -> None:
        self._running = False
        if outcome.result is not UNKNOWN:
            self._note(outcome)
        on_result(outcome, seconds)

    def _note(self, outcome: Outcome) -> None:
        before, self.responds, self.message = self.responds, not outcome.no_response, outcome.message
        if before is self.responds:
            return
        if self.responds:
            log.info("the canary %s responds: %s", self.ip, self.message)
        else:
            log.warning("the canary %s (ESO_CANARY) does not respond: %s", self.ip, self.message)


class Probed(Protocol):
    """One ExternalService."""

    @property
    def targets(self) -> Collection[Target]:
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
            self.canary.tick(self._engine, now, self._canary_done)

    def before(self, target: Target) -> None:
        """A probe of `target` is about to begin."""
        if target.unanswered is not None:
            target.response_before = self.guard.response_at

    def no_response(self, target: Target, began: float, ready: bool | None) -> None:
        """A probe of `target` that began then got no response; `ready` is what the thresholds say (None: nothing).

        Publishes the transition, or keeps it pending.
        """
        before = target.unanswered
        unanswered = Unanswered(began, began)
        if before is not None:
            unanswered = Unanswered(before.first, began, target.response_before)
        target.unanswered = unanswered
        guarded = target.state.ready and self.guard.hold > 0 and self._comparable()
        if guarded and not self.guard.response_since(began):
            self._probe_out_of_turn()
        if ready is None:
            return
        if not guarded or self.guard.admits(target, unanswered, self._loop.time()):
            self._publish((target,))
        else:
            target.pending = True

    def response(self, target: Target, began: float, now: float) -> None:
        """A probe of `target` that began then got a response."""
        if target.unanswered is not None:
            target.unanswered, target.pending = None, False
            self.guard.forget(target)
        if target.prepared is None or target.prepared.refusal is None:
            self._response(began, now)

    def end_if_idle(self) -> None:
        """Without any ExternalService there is nothing left that could respond."""
        if not self._services:
            self.guard.end(self._loop.time())
            self._report()

    def _canary_done(self, outcome: Outcome, seconds: float) -> None:
        if outcome.result is not UNKNOWN and not outcome.no_response:
            now = self._loop.time()
            self._response(now - seconds, now)

    def _response(self, began: float, now: float) -> None:
        proven = self.guard.response(began, now)
        if proven or self._reported:
            self._publish(proven)
            self._report()

    def _publish(self, targets: Iterable[Target]) -> None:
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

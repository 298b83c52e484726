"""An address of the operator's choice that is asked twice a second, and tells by any answer that our network lives."""

import logging
from collections.abc import Callable
from typing import Final, Protocol

from external_service.core import Probe
from probe_sidecar.probes.engine import ProbeHandle
from probe_sidecar.probes.outcome import UNKNOWN, Outcome
from probe_sidecar.probes.prepare import PreparedProbe, prepare

log = logging.getLogger(__name__)

PERIOD: Final = 0.5
"""Seconds. Between any two probes of an address, a second apart at least, it is thus asked and heard once."""


class Starter(Protocol):
    """What it needs of the probe engine."""

    def start(self, probe: PreparedProbe, done: Callable[[Outcome, float], None]) -> ProbeHandle:
        """Begin one probe."""
        ...


class Canary:
    """`answers` is whether the latest probe of it was answered, None before the first has ended; `said` is by what."""

    def __init__(self, probe: Probe, ip: str, dial: str, now: float) -> None:
        self.ip = ip
        self.answers: bool | None = None
        self.said = ""
        self.due = now
        self._prepared = prepare(probe, ip, dial)
        self._running = False

    def tick(self, engine: Starter, now: float, heard: Callable[[Outcome, float], None]) -> None:
        """Ask if it is time, one question after the other; `heard` is told what came of it."""
        if now < self.due:
            return
        self.due = now + PERIOD
        if not self._running:
            self._running = True
            engine.start(self._prepared, lambda outcome, seconds: self._done(outcome, seconds, heard))

    def _done(self, outcome: Outcome, seconds: float, heard: Callable[[Outcome, float], None]) -> None:
        self._running = False
        if outcome.result is not UNKNOWN:
            self._note(outcome)
        heard(outcome, seconds)

    def _note(self, outcome: Outcome) -> None:
        before, self.answers, self.said = self.answers, not outcome.silent, outcome.message
        if before is self.answers:
            return
        if self.answers:
            log.info("the canary %s answers: %s", self.ip, self.said)
        else:
            log.warning("the canary %s (ESO_CANARY) does not answer: %s", self.ip, self.said)

"""An address of the operator's choice that is probed twice a second; any response proves that our network works."""

import logging
from collections.abc import Callable
from typing import Final

from external_service.core import Probe
from probe_sidecar.prober.target import Engine
from probe_sidecar.probes.outcome import UNKNOWN, Outcome
from probe_sidecar.probes.prepare import prepare

log = logging.getLogger(__name__)

PERIOD: Final = 0.5
"""Seconds. Between any two probes of an address, a second apart at least, it is thus probed once to the end."""


class Canary:
    """`responds` is whether the latest probe of it got a response, None before the first; `message` is the evidence."""

    def __init__(self, probe: Probe, ip: str, dial: str, now: float) -> None:
        self.ip = ip
        self.responds: bool | None = None
        self.message = ""
        self.due = now
        self._prepared = prepare(probe, ip, dial)
        self._running = False

    def tick(self, engine: Engine, now: float, on_result: Callable[[Outcome, float], None]) -> None:
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

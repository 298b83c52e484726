"""Freezes long-lived objects (gc.freeze), because garbage collection would block the event loop (ADR 3)."""

import gc
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

REST_SECONDS: Final = 60.0
"""At least so long between two freezes, for each walks all that there is."""


class Freezer:
    """`freeze` where much has come that will stay."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._at = -inf

    def freeze(self) -> None:
        """Exclude all reachable objects from later collections; does nothing within REST_SECONDS of the last call.

        Objects frozen earlier are thawed and collected first. Otherwise cycles that became garbage after a freeze would
        leak, and replicas that come and go cause many freezes.
        """
        now = self._clock()
        if now - self._at >= REST_SECONDS:
            self._at = now
            gc.unfreeze()
            gc.collect()
            gc.freeze()

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
        """What is reachable now is not walked any more; nothing happens so soon after the last time.

        What that has frozen is thawed and looked at too. Else each freeze would keep for good whatever of it is later
        abandoned in a cycle, and replicas that come and go are many freezes.
        """
        now = self._clock()
        if now - self._at >= REST_SECONDS:
            self._at = now
            gc.unfreeze()
            gc.collect()
            gc.freeze()

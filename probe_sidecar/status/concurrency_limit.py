"""Limit of status writes in flight: as many as the API server handles without a queue (ADR 9). Pure.

Writes queued there delay the renewals of the Leases too, on any connection. The limit grows while a response comes as
fast as for a single write, and is halved otherwise.
"""

from math import inf
from typing import Final

WAITING_SECONDS: Final = 0.5
"""Factor by which a response may be slower than that of a single write. A renewal that waits behind our writes for so
long is still in time.
"""


class ConcurrencyLimit:
    """`size` is how many may be in flight now, from 1 to `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 1.0
        self._alone = inf  # seconds of a response while no other request of ours was in flight
        self._halved_at = -inf

    @property
    def size(self) -> int:
        """At least 1."""
        return int(self._size)

    def answered(self, began: float, now: float, *, alone: bool) -> None:
        """A request that began then has ended, however; `alone`: no other of ours was in flight when it began."""
        seconds = now - began
        self._alone = seconds if alone else min(self._alone, seconds)
        if seconds <= self._alone + WAITING_SECONDS:
            self._size = min(self._size + 1 / self._size, float(self._most))
        elif began >= self._halved_at:  # what was in flight as it was halved only says the same again
            self._size, self._halved_at = max(self._size / 2, 1.0), now

    def rest(self) -> None:
        """Nothing is in flight and nothing waits: by the next time the API server may be slower."""
        self._size = 1.0

"""Which ExternalServices Metacontroller has not synced yet, and how long our first write waits for it (ADR 2). Pure.

A write before Metacontroller's (`observedGeneration`) makes Metacontroller's stale.
"""

from collections.abc import Hashable
from itertools import islice
from math import inf
from typing import Final

INITIAL_STATUS_DELAY: Final = (2.0, 10.0)
"""Longest wait (s) after a creation or a change of the spec: before any write of Metacontroller's has been seen, and
after that. At its default limit of 5 requests a second, five new objects take it 4 to 7 s."""

WORKERS: Final = 5
"""Metacontroller's default --workers: how many objects it syncs at a time, in the order of their changes."""


class PendingSyncs:
    """The objects that wait, the longest first. Times are in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._since: dict[Hashable, float] = {}
        self._longest = INITIAL_STATUS_DELAY[0]

    def begin(self, item: Hashable, now: float) -> None:
        """`item` has a new spec. An object that waits already continues to wait."""
        self._since.setdefault(item, now)

    def end(self, item: Hashable) -> float | None:
        """`item` has been synced, or is gone: since when it has waited; None if it did not."""
        return self._since.pop(item, None)

    def elapse(self, now: float) -> None:
        """Forget those that have waited for too long."""
        while self._since and now >= next(iter(self._since.values())) + self._longest:
            del self._since[next(iter(self._since))]

    def seen(self) -> None:
        """Metacontroller has written the status of some object: it runs, so more time is worth waiting."""
        self._longest = INITIAL_STATUS_DELAY[1]

    def wait_until(self, item: Hashable) -> float:
        """Until when `item` waits; -inf: not at all, because Metacontroller is at work on others."""
        return self._since[item] + self._longest if item in islice(self._since, WORKERS) else -inf

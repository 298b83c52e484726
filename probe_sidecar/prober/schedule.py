"""When probes are due, by a monotonic clock in seconds. No IO, no clock of its own.

The kubelet's timing (kubernetes:pkg/kubelet/prober/worker.go): a ticker without drift, late ticks collapse into one.
At process start the first probes are spread evenly over one period instead of the kubelet's random sleep.
Due times lie on a common grid (ADR 3), so that one wake serves all that share a point of it, each of them on time.
"""

import heapq
import math
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2

ROUNDING = 1e-3
"""Of a step of the grid: what floating point makes of a point that lies on it is still that point."""


class Schedule(Generic[Item]):
    """Items with the time at which each is due next. An item is taken out by forgetting it when it comes up.

    Due times are moved to the next multiple of `grid` seconds; 0 leaves them as they are.
    """

    def __init__(self, grid: float = 0.0) -> None:
        self._grid = grid
        self._heap: list[float] = []  # each due time once: with ten thousand items on a grid, a tenth of them
        self._items: dict[float, list[Item]] = {}

    def add(self, item: Item, due: float) -> float:
        """Let `item` come up at `due`, or at the next point of the grid: when that is."""
        if self._grid:
            due = math.ceil(due / self._grid - ROUNDING) * self._grid
        together = self._items.get(due)
        if together is None:
            self._items[due] = [item]
            heapq.heappush(self._heap, due)
        else:
            together.append(item)
        return due

    def next_due(self) -> float:
        """When the earliest item comes up; inf when there is none."""
        return self._heap[0] if self._heap else math.inf

    def pop_due(self, now: float) -> Iterator[tuple[float, Item]]:
        """Take out what is due by `now`, earliest first, each with the time for which it was due."""
        heap = self._heap
        while heap and heap[0] <= now:
            due = heapq.heappop(heap)
            for item in self._items.pop(due):
                yield due, item


def following(due: float, period: float, now: float) -> float:
    """The first tick after `now` of the ticker that ticked at `due`: never drifting, missed ticks left out."""
    if now < due + period:
        return due + period
    return due + (math.floor((now - due) / period) + 1) * period


def spread(index: int, period: float, phase: float) -> float:
    """The delay of the `index`-th first probe, in [0, period): any number of them lies evenly (golden ratio).

    `phase` in [0, 1) is random for each process, so that several do not start in step.
    """
    return (phase + index * GOLDEN_RATIO) % 1.0 * period


def within(since: float, period: float, now: float) -> float:
    """Seconds over which to spread first probes now, of many whose start began at `since`: the rest of one period.

    Never less than half of one, because starting many may take longer than one period.
    """
    left = since + period - now
    return left if left >= period / 2 else period


def delayed(start: float, first: float, delay: int, period: float) -> float:
    """The first tick at or after `start` + `delay` of the ticker that begins at `first` (initialDelaySeconds)."""
    late = start + delay - first
    return first if late <= 0 else first + math.ceil(late / period) * period

"""The one timer of the schedule, against a loop whose time the test moves."""

from collections.abc import Callable
from typing import Any, cast

from probe_sidecar.prober.ticker import Ticker


class Timer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self._when, self.call, self.gone = when, call, False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone


class Loop:
    def __init__(self) -> None:
        self.now, self.timers = 0.0, list[Timer]()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, call))
        return self.timers[-1]

    def pending(self) -> list[float]:
        return [timer.when() for timer in self.timers if not timer.gone]


class Due:
    """Stands where the manager would: a list of due times."""

    def __init__(self, *due: float) -> None:
        self.due, self.ticks = list(due), 0

    def next_due(self) -> float | None:
        return min(self.due, default=None)

    def tick(self) -> None:
        self.ticks += 1
        self.due = self.due[1:]


def ticker(loop: Loop, due: Due) -> Ticker:
    return Ticker(cast(Any, loop), cast(Any, due))


def test_it_wakes_when_something_is_due() -> None:
    loop = Loop()
    ticker(loop, Due(1.2345)).arm()
    assert loop.pending() == [1.2345]


def test_it_wakes_earlier_when_something_earlier_comes() -> None:
    loop, due = Loop(), Due(5.0)
    timer = ticker(loop, due)
    timer.arm()
    due.due.insert(0, 2.0)
    timer.arm()
    assert loop.pending() == [2.0]


def test_it_is_not_set_anew_for_something_later() -> None:
    loop, due = Loop(), Due(2.0)
    timer = ticker(loop, due)
    timer.arm()
    due.due.append(5.0)
    timer.arm()
    assert len(loop.timers) == 1


def test_something_can_be_looked_at_before_each_tick() -> None:
    loop, due = Loop(), Due(1.0)
    looked: list[int] = []
    Ticker(cast(Any, loop), cast(Any, due), lambda: looked.append(due.ticks)).arm()
    loop.timers[0].call()
    assert (looked, due.ticks) == ([0], 1)


def test_each_wake_sets_the_next() -> None:
    loop, due = Loop(), Due(1.0, 2.0)
    ticker(loop, due).arm()
    loop.timers[0].call()
    assert (due.ticks, [timer.when() for timer in loop.timers]) == (1, [1.0, 2.0])
    loop.timers[1].call()
    assert (due.ticks, len(loop.timers)) == (2, 2)


def test_an_empty_schedule_sets_nothing() -> None:
    loop = Loop()
    ticker(loop, Due()).arm()
    assert loop.timers == []


def test_closed_means_silent() -> None:
    loop = Loop()
    timer = ticker(loop, Due(1.0))
    timer.arm()
    timer.close()
    assert loop.pending() == []


def test_it_says_how_far_behind_the_schedule_is() -> None:
    loop, due = Loop(), Due(1.0)
    timer = ticker(loop, due)
    assert timer.overdue() == 0.0
    loop.now = 31.0
    assert timer.overdue() == 30.0

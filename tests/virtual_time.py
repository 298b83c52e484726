"""An event loop whose clock jumps from timer to timer: what takes minutes is tested in milliseconds."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class VirtualTime(selectors.SelectSelector):
    """A selector that never sleeps: when nothing is ready, the clock jumps to the next timer."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits, and nothing will ever happen"
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.virtual = VirtualTime()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now

    def pass_time(self, seconds: float) -> None:
        """As if what is running now took so long."""
        self.virtual.now += seconds


def virtually(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario)


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The scenario as a test."""

    def test() -> None:
        virtually(scenario())

    test.__doc__ = scenario.__doc__
    return test

"""Wakes the prober when something is due: the one timer of the whole schedule."""

import asyncio
from collections.abc import Callable

from probe_sidecar.prober.manager import ProberManager


class Ticker:
    """Calls `manager.tick` when something is due, and `before` before it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        manager: ProberManager,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._manager = manager
        self._before = before
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Set the timer to the next due time; to be called whenever that may have become earlier."""
        due = self._manager.next_due()
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick)

    def close(self) -> None:
        """Never wake again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def overdue(self) -> float:
        """How many seconds the schedule is behind; 0 when it is not. The liveness probe looks at it."""
        due = self._manager.next_due()
        return 0.0 if due is None else max(0.0, self._loop.time() - due)

    def _tick(self) -> None:
        self._timer = None
        self._before()
        self._manager.tick()
        self.arm()

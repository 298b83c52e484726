"""Which of the hook's reports in `.status.children` are acted on: those that have lasted.

The hook compares what it wants with Metacontroller's caches, and a child that was just created or is being replaced can
be absent from those for a moment. A report that ends by itself within HOLD_SECONDS changes nothing.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass

from external_service.v1alpha1 import ChildProblem
from probe_sidecar.status.stored import StoredStatus
from probe_sidecar.status.summary import child_summary

HOLD_SECONDS = 2.0

Reports = tuple[ChildProblem, ...]


@dataclass(eq=False)
class ChildReports:
    """The reports on one ExternalService. `wake` is called when a report has lasted long enough."""

    loop: AbstractEventLoop
    wake: Callable[[], None]
    _lasting: Reports = ()
    _pending: Reports = ()
    _timer: TimerHandle | None = None

    def lasting(self, stored: StoredStatus) -> Reports:
        """The reports to act on for this status as read.

        A report that the stored summary names already has lasted: a restart changes nothing (R6).
        """
        reports = stored.children
        if reports != self._pending:
            self.close()
        if not reports or reports == self._lasting or stored.summary == child_summary(reports[0]):
            self._lasting = reports
        elif not self._pending:
            self._pending = reports
            self._timer = self.loop.call_later(HOLD_SECONDS, self._hold_over)
        return self._lasting

    def close(self) -> None:
        """Wait for nothing any more."""
        self._pending = ()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hold_over(self) -> None:
        self._lasting, self._pending, self._timer = self._pending, (), None
        self.wake()

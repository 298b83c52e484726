"""Which of the hook's reports in `.status.children` are acted on: those that have lasted.

The hook compares what it wants with Metacontroller's caches, and a child that was just created or is being replaced can
be absent from those for a moment. A report that ends by itself within HOLD_SECONDS changes nothing.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Mapping
from typing import Any

from external_service.v1alpha1 import ChildProblem
from probe_sidecar.status.known import seen_children, seen_status
from probe_sidecar.status.summary import child_summary

HOLD_SECONDS = 2.0

Reports = tuple[ChildProblem, ...]


class ChildReports:
    """The reports of each ExternalService by its uid. `wake(uid)` is called when a report has lasted long enough."""

    def __init__(self, loop: AbstractEventLoop, wake: Callable[[str], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._lasting: dict[str, Reports] = {}
        self._pending: dict[str, tuple[Reports, TimerHandle]] = {}

    def lasting(self, uid: str, raw: Mapping[str, Any]) -> Reports:
        """The reports to act on for this object as read.

        A report that the stored summary names already has lasted: a restart changes nothing (R6).
        """
        reports = seen_children(raw)
        if uid in self._pending and self._pending[uid][0] != reports:
            self._pending.pop(uid)[1].cancel()
        if not reports or reports == self._lasting.get(uid) or _is_told(raw, reports):
            self._settle(uid, reports)
        elif uid not in self._pending:
            self._pending[uid] = reports, self._loop.call_later(HOLD_SECONDS, self._hold_over, uid, reports)
        return self._lasting.get(uid, ())

    def forget(self, uid: str) -> None:
        """The object is gone, or belongs to another replica."""
        self._lasting.pop(uid, None)
        if uid in self._pending:
            self._pending.pop(uid)[1].cancel()

    def _settle(self, uid: str, reports: Reports) -> None:
        if reports:
            self._lasting[uid] = reports
        else:
            self._lasting.pop(uid, None)

    def _hold_over(self, uid: str, reports: Reports) -> None:
        del self._pending[uid]
        self._lasting[uid] = reports
        self._wake(uid)


def _is_told(raw: Mapping[str, Any], reports: Reports) -> bool:
    return seen_status(raw).get("summary") == child_summary(reports[0])

"""The kubelet's threshold rule as one pure function (kubernetes:pkg/kubelet/prober/worker.go).

One counter: the length of the streak of equal results. A failure acts when the streak reaches failureThreshold, a
success when it reaches successThreshold; any other result starts a new streak. A result of UNKNOWN changes nothing.
"""

from typing import NamedTuple

from external_service.core import Probe
from probe_sidecar.probes.outcome import FAILURE, UNKNOWN, Outcome


class Streak(NamedTuple):
    """Consecutive equal results; `length` 0 means no result yet."""

    success: bool = False
    length: int = 0


def record(streak: Streak, outcome: Outcome, probe: Probe) -> tuple[Streak, bool | None]:
    """The streak after `outcome`, and the new readiness if a threshold is met, else None."""
    result = outcome.result
    if result is UNKNOWN:
        return streak, None
    success = result is not FAILURE
    length = streak.length + 1 if streak.success is success else 1
    threshold = probe.successThreshold if success else probe.failureThreshold
    return Streak(success, length), success if length >= threshold else None

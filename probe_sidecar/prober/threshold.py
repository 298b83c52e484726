"""The kubelet's threshold rule as one pure function (kubernetes:pkg/kubelet/prober/worker.go).

One counter: the length of the streak of equal results. A failure acts when the streak reaches failureThreshold, a
success when it reaches successThreshold; any other result starts a new streak. A result of UNKNOWN changes nothing.
"""

from external_service.core import Probe
from probe_sidecar.probes.outcome import FAILURE, UNKNOWN, Outcome


def record(streak: int, outcome: Outcome, probe: Probe) -> tuple[int, bool | None]:
    """The streak after `outcome`, and the new readiness if a threshold is met, else None.

    A streak is how often in a row the latest result came: positive for successes, negative for failures, 0 before the
    first.
    """
    result = outcome.result
    if result is UNKNOWN:
        return streak, None
    if result is FAILURE:
        streak = streak - 1 if streak < 0 else -1
        return streak, False if -streak >= probe.failureThreshold else None
    streak = streak + 1 if streak > 0 else 1
    return streak, True if streak >= probe.successThreshold else None

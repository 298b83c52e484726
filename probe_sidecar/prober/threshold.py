"""The kubelet's threshold rule as one pure fold (kubernetes:pkg/kubelet/prober/worker.go).

One counter: the length of the run of equal results. A failure acts when the run reaches failureThreshold, a success
when it reaches successThreshold; any other result starts a new run. A result of UNKNOWN touches nothing.
"""

from typing import NamedTuple

from app.api.plain import Probe
from probe_sidecar.probes.outcome import Outcome, Result


class Run(NamedTuple):
    """How often in a row the latest result came; `length` 0 means that nothing has been seen yet."""

    success: bool = False
    length: int = 0


class Fold(NamedTuple):
    """`verdict` is None while the run is below its threshold: the state stays what it was."""

    run: Run
    verdict: bool | None


def fold(run: Run, outcome: Outcome, probe: Probe) -> Fold:
    """The run after `outcome`, and the verdict if its threshold is met."""
    if outcome.result is Result.UNKNOWN:
        return Fold(run, None)
    success = outcome.success
    length = run.length + 1 if run.success is success else 1
    threshold = probe.successThreshold if success else probe.failureThreshold
    return Fold(Run(success, length), success if length >= threshold else None)

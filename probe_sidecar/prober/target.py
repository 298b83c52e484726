"""One probed address: its place in the schedule, its streak of results, its state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from external_service.core import Probe
from external_service.v1alpha1 import AddressStatus
from probe_sidecar.prober.outage import FailedProbes
from probe_sidecar.probes.engine import ProbeHandle
from probe_sidecar.probes.exchange import FAILURE, UNKNOWN, Outcome
from probe_sidecar.probes.prepare import PreparedProbe

if TYPE_CHECKING:
    from probe_sidecar.prober.targets import Targets


@dataclass(slots=True, eq=False)
class Target:
    """Lives as long as its address has the same probe in the spec; `state` outlives a probe edit (D7).

    `held_tick` is the kubelet's one-place ticker channel: a tick that comes while a probe runs starts the next one when
    that ends; further ticks are lost. `inherited`: the state was found by another prober, and none of this prober's
    results has met a threshold yet (R6). `due` and `last_at` are seconds of the prober's clock. `failed` are its
    latest probes if they failed, and `response_before` the guard's `response_at` when the next one began; `pending`
    means that its transition waits for proof that the address is the cause (ADR 11); `out_of_turn` that the running
    probe is only evidence of our own network. `streak` is that of `record`, `history` are its latest results
    (counters.py). `prepared` is made for its first probe. With a `problem` (a CA that is not there) it cannot
    be probed: it keeps its state.
    """

    owner: "Targets"
    ip: str
    probe: Probe
    state: AddressStatus
    prepared: PreparedProbe | None = None
    streak: int = 0
    handle: ProbeHandle | None = None
    due: float = 0.0
    problem: str = ""
    held_tick: bool = False
    retired: bool = False
    inherited: bool = False
    pending: bool = False
    out_of_turn: bool = False
    failed: FailedProbes | None = None
    response_before: float = 0.0
    last: Outcome | None = None
    last_seconds: float = 0.0
    last_at: float = 0.0
    history: bytes = b""

    def done(self, outcome: Outcome, seconds: float) -> None:
        """The end of a probe. A method takes no memory while none runs, unlike a callable made for each target."""
        self.owner.finished(self, outcome, seconds)

    @property
    def period(self) -> int:
        """Seconds from one probe to the next in its present state."""
        return self.probe.period(ready=self.state.ready)

    @property
    def successes(self) -> int:
        """Number of consecutive successes up to now."""
        return max(self.streak, 0)

    @property
    def failures(self) -> int:
        """Number of consecutive failures up to now."""
        return max(-self.streak, 0)

    @property
    def responded_last(self) -> bool:
        """Whether it is idle, and its latest probe got a response."""
        if self.handle is not None or self.prepared is None or self.prepared.refusal is not None:
            return False
        return self.last is not None and self.last.result is not UNKNOWN and not self.last.no_response


def record(streak: int, outcome: Outcome, probe: Probe) -> tuple[int, bool | None]:
    """The streak after `outcome`, and the new readiness if a threshold is met, else None: the kubelet's threshold rule
    (kubernetes:pkg/kubelet/prober/worker.go).

    A streak is how often in a row the latest result came: positive for successes, negative for failures, 0 before the
    first. A result of UNKNOWN changes nothing.
    """
    result = outcome.result
    if result is UNKNOWN:
        return streak, None
    if result is FAILURE:
        streak = streak - 1 if streak < 0 else -1
        return streak, False if -streak >= probe.failureThreshold else None
    streak = streak + 1 if streak > 0 else 1
    return streak, True if streak >= probe.successThreshold else None

"""One probed address: its place in the schedule, its run of results, its state as last handed over."""

from collections.abc import Callable
from dataclasses import dataclass, field

from external_service.core import Probe
from external_service.v1alpha1 import AddressStatus
from probe_sidecar.prober.counters import ProbeCounters
from probe_sidecar.prober.outage import Silence
from probe_sidecar.prober.threshold import Streak
from probe_sidecar.probes.engine import ProbeHandle
from probe_sidecar.probes.outcome import Outcome
from probe_sidecar.probes.prepare import PreparedProbe


@dataclass(slots=True, eq=False)
class Target:
    """Lives as long as its address stands in the spec with the same probe; `state` outlives a probe edit (D7).

    `held_tick` is the kubelet's one-place ticker channel: a tick that comes while a probe runs starts the next one
    when that ends; further ticks are lost. `inherited`: the state is another prober's, and none of ours has judged yet
    (R6). `due` and `last_at` are seconds of the manager's clock.
    `silence` tells of its latest probes if all of them ended in silence, and `heard_before` what the guard had heard
    when the next one began; `held` means that its verdict waits for proof
    that the silence is its own (ADR 11); `asked` that the running probe is out of turn, and counts as evidence of
    our network alone.
    Without `prepared` it cannot be probed, and `problem` says why (a CA that is not there): it keeps its state.
    """

    uid: str
    parent: str
    ip: str
    probe: Probe
    prepared: PreparedProbe | None
    state: AddressStatus
    tally: ProbeCounters
    hear: Callable[["Target", Outcome, float], None] = field(init=False)
    streak: Streak = field(default_factory=Streak)
    handle: ProbeHandle | None = None
    due: float = 0.0
    problem: str = ""
    held_tick: bool = False
    retired: bool = False
    inherited: bool = False
    held: bool = False
    asked: bool = False
    silence: Silence | None = None
    heard_before: float = 0.0
    last: Outcome | None = None
    last_seconds: float = 0.0
    last_at: float = 0.0

    def done(self, outcome: Outcome, seconds: float) -> None:
        """The end of a probe. A method takes no memory while none runs, unlike a callable made for each target."""
        self.hear(self, outcome, seconds)

    @property
    def period(self) -> int:
        """Seconds from one probe to the next, as the address stands now."""
        return self.probe.period(ready=self.state.ready)

    @property
    def failures(self) -> int:
        """How many failures in a row the latest probes were."""
        return 0 if self.streak.success else self.streak.length

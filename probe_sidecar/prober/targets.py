"""The probed addresses of one ExternalService, and what their results add up to."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol

from external_service.core import GRPCAction, HTTPGetAction, Probe, TCPSocketAction
from external_service.kind import LONGEST_TIMEOUT, NOT_PROBED
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from probe_sidecar.prober.counters import ProbeCounters
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.schedule import delayed, within
from probe_sidecar.prober.target import Target
from probe_sidecar.probes.prepare import PreparedProbe, Referenced, prepare
from runtime.logs import about

log = logging.getLogger(__name__)

PROBE_TYPES = {HTTPGetAction: "http", TCPSocketAction: "tcp", GRPCAction: "grpc"}

TRANSITIONS = 20
"""That are remembered of each ExternalService, for the page: in an outage of all, 20 times 150 bytes each."""

NO_HOSTNAMES: Mapping[str, str] = MappingProxyType({})


class Transition(NamedTuple):
    """An address has become ready or not ready, `at` a wall-clock time (RFC 3339)."""

    at: str
    ip: str
    ready: bool
    message: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Parts that the targets of every ExternalService share.

    `clock` is monotonic seconds, `now` the wall clock as RFC 3339. `dial` maps an address to the one that is really
    connected to (identity but in the playground). `longest_timeout` bounds timeoutSeconds.
    """

    prober: Prober
    clock: Callable[[], float]
    now: Callable[[], str]
    policy: AddressPolicy
    dial: Callable[[str], str] = str
    longest_timeout: int = LONGEST_TIMEOUT


class Subject(Protocol):
    """The ExternalService whose addresses they are."""

    @property
    def referenced(self) -> Referenced | str:
        """Contents of ConfigMaps and Secrets that its probe names, or the reason why it cannot be probed now."""
        ...

    def changed(self) -> None:
        """The state of an address has changed, or an address has come or gone."""

    def delayed(self, reason: str) -> None:
        """A probe was not made when it was due, for a reason of the prober's own."""


class Targets(Collection[Target]):
    """The probed addresses of one ExternalService (`name` is namespace/name); a collection of its targets.

    `subject` is the ExternalService, `counters` is None while nothing is probed. `transitions` are the latest of its
    addresses, oldest first.
    """

    def __init__(self, surroundings: Surroundings, subject: Subject, name: str) -> None:
        self.name = name
        namespace, _, own_name = name.rpartition("/")
        self._group = namespace, own_name
        self.counters: ProbeCounters | None = None
        self.transitions: tuple[Transition, ...] = ()
        self._surroundings = surroundings
        self._prober = surroundings.prober
        self.finished = surroundings.prober.finished
        self.subject = subject
        self._spec: ExternalServiceSpec | None = None
        self._hostnames = NO_HOSTNAMES
        self._targets: dict[str, Target] = {}

    def __len__(self) -> int:
        return len(self._targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def __contains__(self, target: object) -> bool:
        return isinstance(target, Target) and self._targets.get(target.ip) is target

    def get(self, ip: str) -> Target | None:
        """The target of an address; None if it is not probed."""
        return self._targets.get(ip)

    @property
    def states(self) -> dict[str, AddressStatus]:
        """The state of each probed address, by address."""
        return {ip: target.state for ip, target in self._targets.items()}

    @property
    def probing(self) -> bool:
        """Whether a probe is in flight."""
        return any(target.handle is not None for target in self._targets.values())

    def apply(
        self,
        spec: ExternalServiceSpec,
        stored: Mapping[str, AddressStatus],
        hostnames: Mapping[str, str] = NO_HOSTNAMES,
        *,
        spread_since: float | None = None,
    ) -> None:
        """Probe the addresses of `spec` from now on, and no others.

        `stored` is `StoredStatus.probed`; it counts only for the first spec (R6). With `spread_since` (when a process
        start or a takeover began) the first probes are spread over one period from then. `hostnames` are the addresses
        of spec.hostnames, each with its name: they are probed like those of spec.ips.
        """
        if self._spec == spec and self._hostnames == hostnames:
            return
        before, states = self._targets, self._states(spec, hostnames, stored)
        first, probe = self._spec is None, spec.readinessProbe
        same_probe = self._spec is not None and self._spec.readinessProbe == probe
        self.counters = _counters(probe, self.counters)
        self._spec, self._hostnames, self._targets = spec, hostnames, {}
        for ip in self._probed(spec, hostnames, probe):
            assert probe is not None  # noqa: S101 - else nothing is probed
            target = before.get(ip)
            if target is None or not same_probe:
                inherited = target.inherited if target else first
                target = self._begin(probe, states[ip], spread_since)
                target.inherited = inherited
            self._targets[ip] = target
        for ip, target in before.items():
            if self._targets.get(ip) is not target:
                self._prober.retire(target)
        self.subject.changed()
        self._prober.arm()

    def renew(self) -> None:
        """ConfigMaps or Secrets that the probes name have changed. An address that had to wait is probed at once."""
        for target in self._targets.values():
            waited = target.problem
            self._check(target)
            if waited and not target.problem:
                self._prober.plan(target, self._surroundings.clock())
        self._prober.arm()

    def inherit(self, stored: Mapping[str, AddressStatus]) -> None:
        """Take from the status the states that no result of this prober has changed yet (R6): its last owner may have
        written since.
        """
        for target in self._targets.values():
            found = stored.get(target.ip) if target.inherited else None
            if found is not None:
                target.state = found

    def yield_to(self, stored: Mapping[str, AddressStatus]) -> None:
        """A newer status of another writer holds until our own probes, from now on, meet a threshold (R6)."""
        for target in self._targets.values():
            found = stored.get(target.ip)
            if found is not None and found.ready is not target.state.ready:
                target.inherited, target.streak, target.state = True, 0, found

    def close(self) -> None:
        """Stop probing: it is gone, or owned by another replica."""
        for target in self._targets.values():
            self._prober.retire(target)
        self._targets, self._spec, self._hostnames = {}, None, NO_HOSTNAMES

    @property
    def idle(self) -> bool:
        """Whether no spec was applied since the start or `close`."""
        return self._spec is None

    # What the prober reports and asks.

    def transition(self, target: Target, ready: bool, message: str) -> None:
        """A threshold is met: `target` is ready or not."""
        state, target.inherited = target.state, False
        if state.ready is ready and state.reason in {"ProbeSucceeded", "ProbeFailed"}:
            return
        target.state = AddressStatus(
            ip=target.ip,
            ready=ready,
            reason="ProbeSucceeded" if ready else "ProbeFailed",
            message=message,
            lastTransitionTime=state.lastTransitionTime if state.ready is ready else self._surroundings.now(),
        )
        if not ready:
            self._prober.hasten(target, probed_every=target.probe.period(ready=state.ready))
        if state.ready is not ready:
            transition = Transition(target.state.lastTransitionTime, target.ip, ready, message)
            self.transitions = (*self.transitions[1 - TRANSITIONS :], transition)
            if self.counters is not None:
                self.counters.note_transition(ready)
        what = "ready" if ready else "not ready"
        log.info("%s: %s is %s: %s", self.name, target.ip, what, message, extra=about(self.name, target.ip))
        self.subject.changed()

    def prepare(self, target: Target) -> PreparedProbe | None:
        """Set `prepared` and return it; or `problem`, and None."""
        found = self._check(target)
        if found is not None:
            shared = self._surroundings
            dial, longest = shared.dial(target.ip), shared.longest_timeout
            target.prepared = prepare(target.probe, target.ip, dial, found, longest_timeout=longest)
            target.prepared.group = self._group
        return target.prepared

    def _probed(self, spec: ExternalServiceSpec, hostnames: Mapping[str, str], probe: Probe | None) -> Iterator[str]:
        if probe is not None:
            for ip in dict.fromkeys((*spec.ips, *hostnames)):
                if self._surroundings.policy.refusal(ip) is None:
                    yield ip

    def _states(
        self, spec: ExternalServiceSpec, hostnames: Mapping[str, str], stored: Mapping[str, AddressStatus]
    ) -> dict[str, AddressStatus]:
        """Initial or present state of each address."""
        wanted, now, before = (*spec.ips, *hostnames), self._surroundings.now(), self._spec
        pending = partial(AddressStatus, reason="Pending", message=NOT_PROBED, lastTransitionTime=now)
        if before is None:
            return {ip: stored.get(ip) or pending(ip=ip, ready=False) for ip in wanted}
        unprobed = (*before.ips, *self._hostnames) if before.readinessProbe is None else ()
        return {
            ip: target.state if (target := self._targets.get(ip)) else pending(ip=ip, ready=ip in unprobed)
            for ip in wanted
        }

    def _begin(self, probe: Probe, state: AddressStatus, spread_since: float | None) -> Target:
        target = Target(self, state.ip, probe, state)
        self._check(target)
        self._prober.plan(target, self._first_due(target, spread_since))
        return target

    def _check(self, target: Target) -> Referenced | None:
        """Whether it can be probed, and with what."""
        found = self.subject.referenced
        target.prepared, target.problem = None, found if isinstance(found, str) else ""
        return None if isinstance(found, str) else found

    def _first_due(self, target: Target, since: float | None) -> float:
        now, probe = self._surroundings.clock(), target.probe
        first = now
        if since is not None:
            first += self._prober.spread(within(since, target.period, now))
        if target.state.reason == "Pending" and not target.state.ready:
            return delayed(now, first, probe.initialDelaySeconds, target.period)
        return first


def _counters(probe: Probe | None, before: ProbeCounters | None) -> ProbeCounters | None:
    """The counts continue while the kind of probe stays; with another they start from zero."""
    if probe is None:
        return None
    probe_type = PROBE_TYPES[type(probe.handler)]
    return before if before is not None and before.probe_type == probe_type else ProbeCounters(probe_type)

"""Which addresses are probed, when, and what their results add up to.

Drives the schedule and the engine; keeps the run of an address while other fields of its ExternalService change.
Knows no socket, no API server and no wall clock but the ones it is given.
"""

import logging
import random
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import inf
from types import MappingProxyType
from typing import Protocol

from external_service.core import GRPCAction, HTTPGetAction, Probe, TCPSocketAction
from external_service.policy import AddressPolicy, refusal
from external_service.readiness import publication
from external_service.v1alpha1 import AddressStatus, ExternalService, ExternalServiceSpec
from probe_sidecar.prober.canary import Canary
from probe_sidecar.prober.counters import LATENESS_BOUNDS, Durations, ProbeCounters
from probe_sidecar.prober.delays import FAULT, NO_PLACE
from probe_sidecar.prober.outage import OutageGuard, Silence
from probe_sidecar.prober.results import Results
from probe_sidecar.prober.schedule import Schedule, delayed, following, spread, within
from probe_sidecar.prober.target import Target
from probe_sidecar.prober.threshold import Streak, record
from probe_sidecar.probes.engine import TOGETHER, ProbeHandle
from probe_sidecar.probes.outcome import FAILURE, UNKNOWN, Outcome
from probe_sidecar.probes.prepare import PreparedProbe, prepare
from runtime.logs import about

log = logging.getLogger(__name__)

LEAST_PARENTS, LEAST_ADDRESSES = 2, 3
"""With fewer that are probed, and no canary, silence says more about them than about our own network."""

MOST_ASKED = 3
"""Addresses that are probed out of turn at a time, to hear whether anybody answers."""

ASKING_SECONDS = 1.0
"""Between two such questions."""

PROBE_TYPES = {HTTPGetAction: "http", TCPSocketAction: "tcp", GRPCAction: "grpc"}


class Engine(Protocol):
    """What the manager needs of the probe engine: `done` is called once, later, unless the probe is cancelled."""

    def start(self, probe: PreparedProbe, done: Callable[[Outcome, float], None]) -> ProbeHandle:
        """Begin one probe soon."""
        ...

    def launch(self) -> None:
        """Begin now what was started."""
        ...

    def cancel(self, handle: ProbeHandle) -> None:
        """End it unheard."""
        ...

    def waited(self, handle: ProbeHandle) -> float:
        """Seconds for which it has been waiting to be begun; 0 if it is under way."""
        ...


@dataclass(slots=True)
class Stats:
    """Counts since the process started. `lateness` is actual minus due of each start, `latest_seconds` its maximum."""

    probes: int = 0
    failures: int = 0
    unknown: int = 0
    transitions: int = 0
    collapsed_ticks: int = 0
    lateness: Durations = field(default_factory=lambda: Durations(LATENESS_BOUNDS))
    latest_seconds: float = 0.0


_NO_NAMES: Mapping[str, str] = MappingProxyType({})

Trust = Callable[[str, Probe], ssl.SSLContext | str | None]
"""(namespace, probe) -> what to verify certificates with; None: nothing; a text: why it cannot be probed now."""


def no_trust(_namespace: str, _probe: Probe) -> None:
    """Verifies nothing."""


@dataclass(frozen=True, slots=True)
class ProbedParent:
    """One ExternalService that is worked for: what it wants, its probed addresses, and what their probes came to."""

    namespace: str
    name: str
    spec: ExternalServiceSpec
    names: Mapping[str, str]  # resolved address -> its name
    targets: Mapping[str, Target]
    tally: ProbeCounters | None  # None: nothing of it is probed


class ProberManager:
    """The set of probed addresses.

    `clock` is monotonic seconds, `now` the wall clock as RFC 3339. `dial` maps an address to the one that is really
    connected to (identity but in the playground). Probes are due on multiples of `grid` seconds (0: anywhere): one wake
    for all that share one. `on_due` is told when something becomes due earlier than before, `on_delay` of a uid whose
    probes are not made as often as they should be, with the reason (`prober.delays`), `on_doubt` when the guard begins
    or ceases to doubt our own network.
    """

    def __init__(
        self,
        engine: Engine,
        results: Results,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
        policy: AddressPolicy,
        grid: float = 0.0,
        phase: float | None = None,
        dial: Callable[[str], str] = str,
        trust: Trust = no_trust,
        on_due: Callable[[], None] = lambda: None,
        on_delay: Callable[[str, str], None] = lambda *_: None,
        guard: "OutageGuard[Target] | None" = None,
        canary: Canary | None = None,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self.stats = Stats()
        self.guard: OutageGuard[Target] = OutageGuard(0) if guard is None else guard
        self.canary = canary
        self._engine = engine
        self._results = results
        self._clock = clock
        self._now = now
        self._policy = policy
        self._phase = random.random() if phase is None else phase  # noqa: S311 - spreads load, guards nothing
        self._dial = dial
        self._trust = trust
        self._on_due = on_due
        self._on_delay = on_delay
        self._on_doubt = on_doubt
        self._degraded = False
        self._asked_at = -inf
        self._hear = self._done  # one bound method for all targets
        self._parents: dict[str, ProbedParent] = {}
        self._schedule: Schedule[Target] = Schedule(grid)
        self._begun = 0

    def apply(
        self,
        parent: ExternalService,
        known: Mapping[str, AddressStatus],
        *,
        spread_since: float | None = None,
        names: Mapping[str, str] = _NO_NAMES,
    ) -> None:
        """Probe what `parent` asks for from now on, and nothing else of it.

        `known` is what its status says; it counts only when the uid is seen for the first time (R6). With
        `spread_since` (when a process start or a takeover began) the first probes are spread over one period from then.
        `names` are the addresses of its hostnames, each with its name: they are probed like those of spec.ips.
        """
        uid, spec = parent.metadata.uid, parent.spec
        name = f"{parent.metadata.namespace}/{parent.metadata.name}"  # one text for all its targets
        held = self._parents.get(uid)
        if held is not None and held.spec == spec and held.names == names:
            return
        before = held.targets if held else {}
        states = self._states(held, spec, names, known)
        tally = _tally(spec, held.tally if held else None)
        targets: dict[str, Target] = {}
        for ip in self._probed(spec, names):
            target = before.get(ip)
            if target is None or target.probe != spec.readinessProbe:
                inherited = target.inherited if target else held is None
                target = self._begin(parent, name, states[ip], tally, spread_since)
                target.inherited = inherited
            targets[ip] = target
        self._parents[uid] = ProbedParent(parent.metadata.namespace, parent.metadata.name, spec, names, targets, tally)
        self._end(uid, before, targets)
        for target in targets.values():
            self._results.put(uid, target.state)
        self._on_due()

    def renew(self, uid: str) -> None:
        """What the probes of `uid` trust has changed. Who could not be probed until now is probed at once."""
        held = self._parents.get(uid)
        if held is None:
            return
        for target in held.targets.values():
            waited = target.prepared is None
            self._equip(target, held.namespace)
            if waited and target.prepared is not None:
                self._plan(target, self._clock())
        self._on_due()

    def follow(self, uid: str, known: Mapping[str, AddressStatus]) -> None:
        """Take from the status what no probe of ours has judged yet (R6): its last owner may have written since."""
        held = self._parents.get(uid)
        for target in held.targets.values() if held else ():
            found = known.get(target.ip) if target.inherited else None
            if found is not None:
                target.state = _adopt(found)
                self._results.follow(uid, target.state)

    def give_way(self, uid: str, known: Mapping[str, AddressStatus]) -> None:
        """Somebody else has judged after us: that stands until our own probes, from now on, meet a threshold (R6)."""
        held = self._parents.get(uid)
        for target in held.targets.values() if held else ():
            found = known.get(target.ip)
            if found is not None and found.ready is not target.state.ready:
                target.inherited, target.streak, target.state = True, Streak(), _adopt(found)
                self._results.follow(uid, target.state)

    def release(self, uid: str) -> None:
        """Stop probing for `uid`: it is gone, or no longer ours. What was known of it is forgotten."""
        held = self._parents.pop(uid, None)
        if held is not None:
            for target in held.targets.values():
                self._retire(target)
            self._results.forget(uid)
        if not self._parents:  # nobody is left who could be heard
            self.guard.calm(self._clock())
            self._tell_doubt()

    def manages(self, uid: str) -> bool:
        """Whether `uid` has been applied and not released."""
        return uid in self._parents

    def probing(self, uid: str) -> bool:
        """Whether a probe of `uid` is in flight."""
        held = self._parents.get(uid)
        return held is not None and any(target.handle is not None for target in held.targets.values())

    def targets(self) -> Iterator[Target]:
        """Every probed address, for those who show them."""
        for parent in self._parents.values():
            yield from parent.targets.values()

    def parents(self) -> Iterable[ProbedParent]:
        """Every ExternalService that is worked for, for those who show them."""
        return self._parents.values()

    def failing_open(self, parent: ProbedParent) -> bool:
        """Whether too few of its addresses are ready for `spec.minReady`, as hook and status judge it."""
        known = {ip: target.state for ip, target in parent.targets.items()}
        return publication(parent.spec, known, self._policy, parent.names).failing_open

    def degraded_seconds(self) -> float:
        """For how long the guard has doubted our own network, in all."""
        return self.guard.seconds(self._clock())

    def next_due(self) -> float | None:
        """When `tick` has something to do next, in seconds of `clock`."""
        scheduled = self._schedule.next_due()
        due = min(
            inf if scheduled is None else scheduled,
            self.guard.next_due(),
            inf if self.canary is None else self.canary.due,
        )
        return None if due == inf else due

    def tick(self) -> None:
        """Start every probe that is due."""
        now = self._clock()
        if now >= self.guard.next_due():
            self._judge_silent(self.guard.elapse(now))
            self._tell_doubt()
        if self.canary is not None:
            self.canary.tick(self._engine, now, self._canary_said)
        plan, started = self._schedule.add, list[float]()
        for due, target in self._schedule.pop_due(now):
            if target.retired or due != target.due:
                continue
            target.due = plan(target, following(due, target.probe.period(ready=target.state.ready), now))
            if target.asked:
                self._give_way(target)
            if target.handle is not None:
                self._collapse(target, target.handle)
                continue
            self._start(target)
            started.append(due)
            if len(started) == TOGETHER:
                self._launch(started)
        self._launch(started)

    def _probed(self, spec: ExternalServiceSpec, names: Mapping[str, str]) -> Iterator[str]:
        if spec.readinessProbe is not None:
            yield from (ip for ip in dict.fromkeys((*spec.ips, *names)) if refusal(ip, self._policy) is None)

    def _states(
        self,
        held: ProbedParent | None,
        spec: ExternalServiceSpec,
        names: Mapping[str, str],
        known: Mapping[str, AddressStatus],
    ) -> dict[str, AddressStatus]:
        """The state from which each address goes on."""
        wanted = (*spec.ips, *names)
        now = self._now()
        pending = partial(AddressStatus, reason="Pending", message="not probed yet", lastTransitionTime=now)
        if held is None:
            return {ip: _adopt(known[ip]) if ip in known else pending(ip=ip, ready=False) for ip in wanted}
        unprobed = (*held.spec.ips, *held.names) if held.spec.readinessProbe is None else ()
        return {
            ip: target.state if (target := held.targets.get(ip)) else pending(ip=ip, ready=ip in unprobed)
            for ip in wanted
        }

    def _begin(
        self, parent: ExternalService, name: str, state: AddressStatus, tally: ProbeCounters | None, since: float | None
    ) -> Target:
        probe, metadata = parent.spec.readinessProbe, parent.metadata
        assert probe is not None and tally is not None  # noqa: S101, PT018 - `_probed` has named no address otherwise
        target = Target(metadata.uid, name, state.ip, probe, None, state, tally)
        self._equip(target, metadata.namespace)
        target.hear = self._hear
        self._plan(target, self._first_due(target, since))
        return target

    def _equip(self, target: Target, namespace: str) -> None:
        trusted = self._trust(namespace, target.probe)
        if isinstance(trusted, str):
            target.prepared, target.problem = None, trusted
        else:
            target.prepared = prepare(target.probe, target.ip, self._dial(target.ip), context=trusted)
            target.problem = ""

    def _plan(self, target: Target, due: float) -> None:
        target.due = self._schedule.add(target, due)

    def _end(self, uid: str, before: Mapping[str, Target], targets: Mapping[str, Target]) -> None:
        for ip, target in before.items():
            if targets.get(ip) is not target:
                self._retire(target)
            if ip not in targets:
                self._results.drop(uid, ip)

    def _first_due(self, target: Target, since: float | None) -> float:
        now, probe = self._clock(), target.probe
        first = now
        if since is not None:
            first += spread(self._begun, within(since, target.period, now), self._phase)
            self._begun += 1
        if target.state.reason == "Pending" and not target.state.ready:
            return delayed(now, first, probe.initialDelaySeconds, target.period)
        return first

    def _retire(self, target: Target) -> None:
        target.retired = True
        self.guard.forget(target)
        if target.handle is not None:
            self._engine.cancel(target.handle)
            target.handle = None

    def _start(self, target: Target) -> None:
        if target.prepared is not None:
            if target.silence is not None:
                target.heard_before = self.guard.heard_at
            target.handle = self._engine.start(target.prepared, target.done)

    def _launch(self, dues: list[float]) -> None:
        """Late is how long it took until all of them were connecting."""
        self._engine.launch()
        now = self._clock()
        for due in dues:
            self._note_lateness(now - due)
        dues.clear()

    def _collapse(self, target: Target, handle: ProbeHandle) -> None:
        """It is due, and the probe before it is not over: one is held until then, more are left out."""
        self.stats.collapsed_ticks += target.held_tick
        target.held_tick = True
        if self._engine.waited(handle) > target.period / 2:  # a tick after time away may come soon after the last
            self._on_delay(target.uid, NO_PLACE)

    def _give_way(self, target: Target) -> None:
        """The probe out of turn ends unheard where the one whose turn it is begins: that will tell the same."""
        target.asked = False
        if target.handle is not None:
            self._engine.cancel(target.handle)
            target.handle = None

    def _done(self, target: Target, outcome: Outcome, seconds: float) -> None:
        target.handle = None
        if target.retired:
            return
        faulty = target.last is not None and target.last.result is UNKNOWN
        now, result = self._clock(), outcome.result
        target.last, target.last_seconds, target.last_at = outcome, seconds, now
        self.stats.probes += 1
        if result is FAILURE:
            self.stats.failures += 1
        elif result is UNKNOWN:
            self._tell_fault(target, outcome, again=faulty)
        target.tally.note(outcome, seconds)
        asked, target.asked = target.asked, False
        verdict = None
        if not asked:
            target.streak, verdict = record(target.streak, outcome, target.probe)
        if outcome.silent:
            if not asked:
                self._note_silence(target, verdict, now - seconds)
        else:
            if verdict is not None:
                self._judge(target, verdict, outcome.message)
            if result is not UNKNOWN:
                self._note_answer(target, now - seconds, now)
        if target.held_tick:
            target.held_tick = False
            self._start(target)

    # Probes without response, and suspected outages (ADR 11).

    def _note_silence(self, target: Target, verdict: bool | None, began: float) -> None:
        before = target.silence
        silence = Silence(began, began) if before is None else Silence(before.first, began, target.heard_before)
        target.silence = silence
        guarded = target.state.ready and self.guard.hold > 0 and self._may_suspect()
        if guarded and not self.guard.heard_since(began):
            self._ask()
        if verdict is None:
            return
        if not guarded or self.guard.admits(target, silence, self._clock()):
            self._judge_silent((target,))
        else:
            target.held = True
            self._on_due()

    def _judge_silent(self, targets: Iterable[Target]) -> None:
        for target in targets:
            assert target.last is not None  # noqa: S101 - silence is a result
            target.held = False
            self._judge(target, False, target.last.message)

    def _note_answer(self, target: Target, began: float, now: float) -> None:
        if target.silence is not None:
            target.silence, target.held = None, False
            self.guard.forget(target)
        if target.prepared is None or target.prepared.refusal is None:
            self._hear_somebody(began, now)

    def _canary_said(self, outcome: Outcome, seconds: float) -> None:
        if outcome.result is not UNKNOWN and not outcome.silent:
            now = self._clock()
            self._hear_somebody(now - seconds, now)

    def _hear_somebody(self, began: float, now: float) -> None:
        proven = self.guard.hear(began, now)
        if proven or self._degraded:
            self._judge_silent(proven)
            self._tell_doubt()

    def _tell_doubt(self) -> None:
        if self._degraded is not self.guard.degraded:
            self._degraded = self.guard.degraded
            self._on_doubt()

    def _may_suspect(self) -> bool:
        """Whether there are enough others to compare with, or a canary."""
        if self.canary is not None:
            return True
        parents, ips = 0, set[str]()
        for parent in self._parents.values():
            parents += bool(parent.targets)
            ips.update(islice(parent.targets, LEAST_ADDRESSES))
            if parents >= LEAST_PARENTS and len(ips) >= LEAST_ADDRESSES:
                return True
        return False

    def _ask(self) -> None:
        """Probe some of those that answered last, out of turn: does anybody answer?"""
        now = self._clock()
        if now - self._asked_at < ASKING_SECONDS:
            return
        self._asked_at = now
        for target in list(islice(filter(_answered_last, self.targets()), MOST_ASKED)):
            target.asked = True
            self._start(target)

    def _judge(self, target: Target, ready: bool, message: str) -> None:
        state, target.inherited = target.state, False
        if state.ready is ready and state.reason in {"ProbeSucceeded", "ProbeFailed"}:
            return
        target.state = AddressStatus(
            ip=target.ip,
            ready=ready,
            reason="ProbeSucceeded" if ready else "ProbeFailed",
            message=message,
            lastTransitionTime=state.lastTransitionTime if state.ready is ready else self._now(),
        )
        if not ready:
            self._hasten(target, probed_every=target.probe.period(ready=state.ready))
        self.stats.transitions += 1
        if state.ready is not ready:
            target.tally.turned(ready)
        what = "ready" if ready else "not ready"
        log.info("%s: %s is %s: %s", target.parent, target.ip, what, message, extra=about(target.parent, target.ip))
        self._results.put(target.uid, target.state)

    def _hasten(self, target: Target, *, probed_every: int) -> None:
        """An address that has just become not ready is probed again after notReadyPeriodSeconds, if that is sooner."""
        sooner = following(target.due - probed_every, target.period, self._clock())
        if sooner < target.due:
            self._plan(target, sooner)
            self._on_due()

    def _tell_fault(self, target: Target, outcome: Outcome, *, again: bool) -> None:
        self.stats.unknown += 1
        if again:
            self._on_delay(target.uid, FAULT)
        else:  # one line for a time of trouble, not one a probe
            log.warning(
                "%s: probing %s went wrong on our side: %s",
                target.parent,
                target.ip,
                outcome.message,
                extra=about(target.parent, target.ip),
            )

    def _note_lateness(self, seconds: float) -> None:
        stats = self.stats
        stats.lateness.note(seconds)
        stats.latest_seconds = max(stats.latest_seconds, seconds)


def _answered_last(target: Target) -> bool:
    if target.handle is not None or target.prepared is None or target.prepared.refusal is not None:
        return False
    return target.last is not None and target.last.result is not UNKNOWN and not target.last.silent


def _tally(spec: ExternalServiceSpec, held: ProbeCounters | None) -> ProbeCounters | None:
    """The counts go on while the kind of probe stays; with another they begin anew."""
    if spec.readinessProbe is None:
        return None
    probe_type = PROBE_TYPES[type(spec.readinessProbe.handler)]
    return held if held is not None and held.probe_type == probe_type else ProbeCounters(probe_type)


def _adopt(known: AddressStatus) -> AddressStatus:
    """The state that the status hands to a prober which has seen nothing itself yet (R6): readiness is kept."""
    if known.reason in {"ProbeSucceeded", "ProbeFailed", "Pending"}:
        return known
    if known.reason == "Disabled":
        reason = "ProbeSucceeded" if known.healthy else "ProbeFailed"
        return known.model_copy(update={"ready": known.healthy, "serving": None, "reason": reason})
    return known.model_copy(update={"reason": "Pending", "message": "not probed yet"})

"""Targets and prober with a scripted engine and a clock that only the test moves."""

import logging
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from external_service.kind import NOT_PROBED
from external_service.v1alpha1 import AddressStatus, ExternalService
from probe_sidecar.prober.prober import MOST_PREPARED
from probe_sidecar.probes.engine import TURN_SECONDS
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.probes.prepare import Referenced
from tests.cases import cases
from tests.parents import parent
from tests.unit.probe_sidecar.prober.rig import HandLoop, Subject, surroundings_of

OK = Outcome(Result.SUCCESS, "connected")
DEAD = Outcome(Result.FAILURE, "connection refused")
BROKEN = Outcome(Result.UNKNOWN, "too many open files")

A, B = "10.0.100.10", "10.0.100.11"


class ScriptedEngine:
    """Holds every probe until the test gives its outcome."""

    def __init__(self) -> None:
        self.running: dict[int, tuple[str, Callable[[Outcome, float], None]]] = {}
        self.started: list[str] = []
        self.waiting: dict[str, float] = {}  # by address: for how long already
        self.launched: list[int] = []  # how many were started by then
        self.launching: Callable[[], None] = lambda: None

    def start(self, probe: Any, done: Callable[[Outcome, float], None]) -> Any:
        handle = len(self.started)
        ip = done.__self__.ip  # type: ignore[attr-defined]  # the manager hands over a method of its target
        self.running[handle] = (ip, done)
        self.started.append(ip)
        return handle

    def launch(self) -> None:
        self.launched.append(len(self.started))
        self.launching()

    def cancel(self, handle: Any) -> None:
        del self.running[handle]

    def waited(self, handle: Any) -> float:
        return self.waiting.get(self.running[handle][0], 0.0)

    def finish(self, ip: str, outcome: Outcome) -> None:
        handle = next(number for number, (running, _) in self.running.items() if running == ip)
        self.running.pop(handle)[1](outcome, 0.001)


class Rig:
    """One ExternalService with its targets, and a clock that the test moves."""

    def __init__(self) -> None:
        self.loop, self.engine = HandLoop(), ScriptedEngine()
        services: list[Subject] = []
        self.looked: list[int] = []  # how many probes were started as the Lease was checked
        surroundings = surroundings_of(
            self.loop, self.engine, services, before_tick=lambda: self.looked.append(len(self.engine.started))
        )
        self.prober, self.service = surroundings.prober, Subject(surroundings)
        services.append(self.service)
        self.targets = self.service.targets

    def apply(
        self,
        *,
        known: Mapping[str, AddressStatus] | None = None,
        spread_since: float | None = None,
        names: Mapping[str, str] = MappingProxyType({}),
        **spec: Any,
    ) -> None:
        self.service.apply(external_service(**spec).spec, known or {}, spread_since=spread_since, names=names)

    def advance(self, seconds: float) -> list[str]:
        """Advance the clock with its ticks; returns the addresses whose probes were started."""
        before = len(self.engine.started)
        self.loop.now += seconds
        self.prober.tick()
        return self.engine.started[before:]

    def probe(self, *outcomes: Outcome) -> list[bool]:
        """Probe A every ten seconds with these outcomes; returns whether it is ready after each."""
        ready = []
        for outcome in outcomes:
            self.advance(10)
            self.engine.finish(A, outcome)
            ready.append(self.told()[A][0])
        return ready

    def told(self) -> dict[str, tuple[bool, str, str]]:
        return {ip: (state.ready, state.reason, state.message) for ip, state in self.targets.states.items()}


def external_service(ips: tuple[str, ...] = (A, B), **spec: Any) -> ExternalService:
    given = spec.pop("probe", {})
    usual = {"tcpSocket": {"port": 80}, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    probe = None if given is None else usual | given
    return parent(metadata={"name": "web"}, ips=list(ips), readinessProbe=probe, **spec)


def known(ip: str, ready: bool, reason: str, **more: Any) -> dict[str, AddressStatus]:
    fields = {"reason": reason, "message": "m", "lastTransitionTime": "t0", **more}
    return {ip: AddressStatus(ip=ip, ready=ready, **fields)}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_threshold_changes_the_state_with_its_message(rig: Rig) -> None:
    rig.apply(ips=(A,))
    rig.advance(0)
    rig.engine.finish(A, OK)
    assert rig.told() == {A: (True, "ProbeSucceeded", "connected")}
    rig.probe(DEAD, DEAD)
    assert rig.told() == {A: (True, "ProbeSucceeded", "connected")}
    rig.probe(DEAD)
    assert rig.targets.states[A] == AddressStatus(
        ip=A, ready=False, reason="ProbeFailed", message="connection refused", lastTransitionTime="t1030"
    )


def test_first_failure_of_a_pending_address_is_reported_once(rig: Rig) -> None:
    rig.apply(ips=(A,))
    changes = rig.service.changes
    rig.probe(*[DEAD] * 6)
    assert rig.targets.states[A] == AddressStatus(
        ip=A, ready=False, reason="ProbeFailed", message="connection refused", lastTransitionTime="t1000"
    )
    assert rig.service.changes == changes + 1


@cases(
    "status expected",
    ("ready", known(A, True, "ProbeSucceeded"), (True, "ProbeSucceeded", "m")),
    ("failed", known(A, False, "ProbeFailed"), (False, "ProbeFailed", "m")),
    ("unknown", {}, (False, "Pending", NOT_PROBED)),
)
def test_restart_takes_readiness_from_the_status(
    rig: Rig, status: dict[str, AddressStatus], expected: tuple[bool, str, str]
) -> None:
    rig.apply(ips=(A,), known=status, spread_since=1_000.0)
    assert rig.told() == {A: expected}


def test_first_probes_after_a_restart_are_spread_over_one_period(rig: Rig) -> None:
    ips = tuple(f"10.0.101.{number}" for number in range(100))
    rig.apply(ips=ips, spread_since=1_000.0)
    started = [len(rig.advance(0.9999 if second == 0 else 1)) for second in range(10)]
    assert sum(started) == 100
    assert all(8 <= number <= 12 for number in started)


def test_first_probes_of_many_addresses_take_several_turns(rig: Rig) -> None:
    ips = tuple(f"10.0.{number // 250}.{1 + number % 250}" for number in range(2 * MOST_PREPARED + 1))
    rig.apply(ips=ips)
    begun = []
    while rig.prober.next_due() == rig.loop.now:
        rig.prober.tick()
        begun.append(len(rig.engine.started))
    assert begun == [MOST_PREPARED, 2 * MOST_PREPARED, len(ips)]


def test_first_probes_that_take_long_take_more_turns(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    start = rig.engine.start

    def slowly(*arguments: Any) -> Any:
        rig.loop.now += 0.6 * TURN_SECONDS
        return start(*arguments)

    rig.apply(ips=(A, B, "10.0.100.12", "10.0.100.13"))
    monkeypatch.setattr(rig.engine, "start", slowly)
    rig.prober.tick()
    assert len(rig.engine.started) == 2


def test_changed_probe_keeps_the_state_and_resets_the_streak(rig: Rig) -> None:
    rig.apply(ips=(A,), known=known(A, True, "ProbeSucceeded"))
    rig.probe(DEAD, DEAD)
    rig.apply(ips=(A,), probe={"tcpSocket": {"port": 81}})
    assert rig.told()[A][0]
    assert rig.probe(DEAD, DEAD, DEAD) == [True, True, False]


def test_other_edits_keep_streaks_and_running_probes(rig: Rig) -> None:
    rig.apply(known=known(A, True, "ProbeSucceeded"))
    rig.advance(0)
    rig.engine.finish(A, DEAD)
    rig.engine.finish(B, OK)
    rig.advance(10)
    running = dict(rig.engine.running)
    rig.apply(hosts=[{"host": "www.mydomain.com"}])
    assert rig.engine.running == running
    rig.engine.finish(A, DEAD)
    rig.advance(10)
    rig.engine.finish(A, DEAD)
    assert rig.told() == {A: (False, "ProbeFailed", "connection refused"), B: (True, "ProbeSucceeded", "connected")}


def test_address_added_again_starts_not_ready(rig: Rig) -> None:
    both = known(A, True, "ProbeSucceeded") | known(B, True, "ProbeSucceeded")
    rig.apply(known=both)
    rig.apply(ips=(A,), known=both)
    assert rig.told() == {A: (True, "ProbeSucceeded", "m")}
    rig.apply(ips=(A, B), known=both)
    assert rig.told() == {A: (True, "ProbeSucceeded", "m"), B: (False, "Pending", NOT_PROBED)}


def test_removing_and_restoring_the_probe_keeps_ready(rig: Rig) -> None:
    rig.apply()
    rig.advance(0)
    rig.apply(probe=None)
    assert (rig.engine.running, rig.told(), rig.advance(30)) == ({}, {}, [])
    rig.apply()
    assert rig.told() == {A: (True, "Pending", NOT_PROBED), B: (True, "Pending", NOT_PROBED)}


def test_probes_of_one_address_never_overlap(rig: Rig) -> None:
    rig.apply(ips=(A,), probe={"timeoutSeconds": 60})
    assert rig.advance(0) == [A]
    assert rig.advance(10) == rig.advance(10) == rig.advance(10) == []
    rig.engine.finish(A, DEAD)
    assert rig.engine.started == [A, A]
    rig.engine.finish(A, DEAD)
    assert rig.engine.started == [A, A]
    assert rig.advance(10) == [A]
    assert rig.prober.collapsed_ticks == 2


def test_prober_fault_is_not_counted_and_is_logged(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.apply(ips=(A,), known=known(A, True, "ProbeSucceeded"))
    with caplog.at_level(logging.INFO):
        rig.probe(*[BROKEN] * 10)
    assert rig.told() == {A: (True, "ProbeSucceeded", "m")}
    assert rig.prober.faults == 10
    assert caplog.messages == [f"shop/web: probing {A} failed in the prober itself: too many open files"]


def test_transition_is_one_log_line_and_steady_state_none(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        rig.apply(ips=(A,))
        rig.probe(OK, OK, OK, DEAD, DEAD, DEAD, DEAD)
    assert caplog.messages == [
        f"shop/web: {A} is ready: connected",
        f"shop/web: {A} is not ready: connection refused",
    ]


def test_denied_address_is_not_probed_and_others_are(rig: Rig) -> None:
    rig.apply(ips=("127.0.0.1", A, "nonsense", A))
    assert rig.advance(0) == [A]
    assert set(rig.told()) == {A}


def test_initial_delay_applies_to_new_addresses_only(rig: Rig) -> None:
    rig.apply(probe={"initialDelaySeconds": 15}, known=known(B, True, "ProbeSucceeded"))
    assert rig.advance(0) == [B]
    assert rig.advance(19.9) == []
    assert rig.advance(0.1) == [A]


FASTER = {"periodSeconds": 10, "notReadyPeriodSeconds": 3, "failureThreshold": 2}


def seconds_until_probed(rig: Rig) -> int:
    """Whole seconds until a probe is started."""
    return next(second for second in range(1, 100) if rig.advance(1))


def test_not_ready_period_applies_while_not_ready(rig: Rig) -> None:
    rig.apply(ips=(A,), probe=FASTER)
    assert rig.advance(0) == [A]
    rig.engine.finish(A, DEAD)
    assert seconds_until_probed(rig) == 3
    rig.engine.finish(A, OK)
    assert rig.told()[A] == (True, "ProbeSucceeded", "connected")
    assert seconds_until_probed(rig) == 3  # planned while it was not ready
    rig.engine.finish(A, OK)
    assert seconds_until_probed(rig) == 10


def test_not_ready_period_applies_right_after_the_transition(rig: Rig) -> None:
    rig.apply(ips=(A,), probe=FASTER, known=known(A, True, "ProbeSucceeded"))
    assert rig.advance(0) == [A]
    rig.engine.finish(A, DEAD)
    assert seconds_until_probed(rig) == 10
    failed_at = rig.loop.now
    rig.loop.now += 4
    rig.engine.finish(A, DEAD)
    assert rig.told()[A][0] is False
    assert rig.prober.next_due() == failed_at + 6
    starts: list[float] = []
    while len(starts) < 4:
        if rig.advance(1):
            rig.engine.finish(A, DEAD)
            starts.append(rig.loop.now - failed_at)
    assert starts == [6, 9, 12, 15]  # and none at 10, where the tick of the longer period was planned


def test_missing_ca_keeps_the_state_and_stops_probing(rig: Rig) -> None:
    rig.service.referenced = "because"
    rig.apply(ips=(A, B), known=known(A, True, "ProbeSucceeded"))
    assert [rig.advance(10) for _ in range(5)] == [[]] * 5
    assert rig.told() == {A: (True, "ProbeSucceeded", "m"), B: (False, "Pending", NOT_PROBED)}
    assert {target.problem for target in rig.targets} == {"because"}
    rig.advance(3)
    rig.service.referenced = Referenced(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    rig.targets.renew()
    assert rig.prober.next_due() == rig.loop.now
    assert rig.advance(0) == [A, B]
    assert {target.problem for target in rig.targets} == {""}


def test_new_ca_keeps_schedule_streak_and_state(rig: Rig) -> None:
    rig.apply(ips=(A,), known=known(A, True, "ProbeSucceeded"))
    rig.advance(0)
    rig.engine.finish(A, DEAD)
    (target,) = rig.targets
    before, run, due = target.prepared, target.streak, target.due
    rig.targets.renew()
    assert target.prepared is not before
    assert (target.streak, target.due, rig.advance(5)) == (run, due, [])


def test_inherited_state_follows_the_status_until_probed(rig: Rig) -> None:
    """A takeover: the last owner's final write may come in after our first look at the status (R6)."""
    rig.apply(ips=(A, B), known=known(A, True, "ProbeSucceeded") | known(B, True, "ProbeSucceeded"))
    rig.targets.inherit(known(A, False, "ProbeFailed") | known(B, True, "ProbeSucceeded"))
    assert rig.told() == {A: (False, "ProbeFailed", "m"), B: (True, "ProbeSucceeded", "m")}
    rig.advance(0)
    rig.engine.finish(A, OK)
    rig.engine.finish(B, OK)
    rig.targets.inherit(known(A, False, "ProbeFailed") | known(B, False, "ProbeFailed"))
    assert rig.told() == {A: (True, "ProbeSucceeded", "connected"), B: (True, "ProbeSucceeded", "m")}


def test_address_added_later_is_not_inherited(rig: Rig) -> None:
    """Removed and added again it starts not ready (D7), whatever a status of before says."""
    rig.apply(ips=(A,), known=known(A, True, "ProbeSucceeded"))
    rig.apply(ips=())
    rig.apply(ips=(A,))
    rig.targets.inherit(known(A, True, "ProbeSucceeded"))
    assert rig.told() == {A: (False, "Pending", NOT_PROBED)}


def test_yields_to_another_owner_until_the_threshold(rig: Rig) -> None:
    """With two owners at once, the result that was written first holds (ADR 10)."""
    rig.apply(ips=(A, B), known=known(A, True, "ProbeSucceeded"), probe={"successThreshold": 2})
    rig.advance(0)
    for _ in range(2):
        rig.engine.finish(A, OK)
        rig.engine.finish(B, OK)
        rig.advance(10)
    assert rig.told()[B][:2] == (True, "ProbeSucceeded")
    rig.targets.yield_to(known(A, False, "ProbeFailed") | known(B, True, "ProbeSucceeded"))
    assert rig.told()[A] == (False, "ProbeFailed", "m")
    assert rig.told()[B] == (True, "ProbeSucceeded", "connected"), "what says the same is left alone"
    rig.engine.finish(A, OK)
    assert rig.told()[A][:2] == (False, "ProbeFailed"), "one success is not enough, however many there were before"
    rig.advance(10)
    rig.engine.finish(A, OK)
    assert rig.told()[A][:2] == (True, "ProbeSucceeded")


def test_probe_waiting_for_a_whole_period_is_reported(rig: Rig) -> None:
    rig.apply(probe={"periodSeconds": 10})
    rig.advance(0)
    rig.engine.waiting[A] = 9.99
    rig.advance(10)
    assert rig.service.delays == ["NoPlaceLeft"]


def test_second_consecutive_prober_fault_is_reported(rig: Rig) -> None:
    rig.apply()
    rig.advance(0)
    rig.engine.finish(A, BROKEN)
    rig.engine.finish(B, BROKEN)
    assert rig.service.delays == []
    rig.advance(10)
    rig.engine.finish(A, BROKEN)
    rig.engine.finish(B, OK)
    assert rig.service.delays == ["ProberFault"]


def test_address_added_by_dns_is_probed_at_once(rig: Rig) -> None:
    rig.apply(ips=(), names={A: "db.io"}, known=known(A, True, "ProbeSucceeded"), spread_since=1_000.0)
    rig.advance(0)
    rig.advance(1)
    rig.apply(ips=(), names={A: "db.io", B: "db.io"})
    assert rig.advance(0) == [B]
    assert rig.told() == {A: (True, "ProbeSucceeded", "m"), B: (False, "Pending", NOT_PROBED)}
    rig.apply(ips=(), names={B: "db.io"})
    assert rig.told() == {B: (False, "Pending", NOT_PROBED)}


def test_short_wait_after_suspension_is_not_reported(rig: Rig) -> None:
    """The process was stopped: the first tick came late, and the next one soon after."""
    rig.apply(probe={"periodSeconds": 10})
    rig.advance(9)
    rig.engine.waiting |= {A: 1.0, B: 1.0}
    rig.advance(1)
    assert rig.prober.collapsed_ticks == 0
    assert rig.service.delays == []


def test_timer_is_rearmed_after_the_lease_check(rig: Rig) -> None:
    rig.apply(ips=(A,))
    rig.loop.fire()
    rig.engine.finish(A, OK)
    assert rig.loop.armed() == [1_010.0]
    rig.loop.fire()
    assert (rig.looked, rig.engine.started, rig.loop.armed()) == ([0, 1], [A, A], [1_020.0])


def test_overdue_is_the_delay_of_the_schedule(rig: Rig) -> None:
    assert rig.prober.overdue() == 0.0
    rig.apply(ips=(A,))
    assert rig.prober.overdue() == 0.0
    rig.loop.now += 30.0
    assert rig.prober.overdue() == 30.0

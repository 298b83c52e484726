"""The outage guard alone, and with the prober in a network in virtual time."""

import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from probe_sidecar.prober.outage import PERIOD, REPORT_SECONDS, Canary, FailedProbes, OutageGuard, SuspectedOutage
from probe_sidecar.prober.prober import Prober
from probe_sidecar.probes.engine import accepted_in_time
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.probes.message import CONNECTING, WAITING, timed_out
from probe_sidecar.settings import Settings
from tests.cases import cases
from tests.examples import examples
from tests.unit.probe_sidecar.prober.rig import HandLoop, Subject, surroundings_of

OK = Outcome(Result.SUCCESS, "connected")
REFUSED = Outcome(Result.FAILURE, "connection refused")
HOLD, RESPONSE, START = 60.0, 0.002, 1_000.0
CONNECTS, REQUESTS = (0.0, 0.9985, 2.9985, 6.9985), (0.0, 0.2, 0.6, 1.4, 3.0)
"""Seconds after which TCP sends a packet again that is not acknowledged (RFC 6298). A kernel may be a little early."""


@dataclass(eq=False)
class Address:
    """An address as the guard knows it."""

    failed: FailedProbes | None = None


# The guard


@cases(
    "failed heard_at admitted",
    ("first-none-since", FailedProbes(10, 10), 5, False),
    ("first-one-since", FailedProbes(10, 10), 10, True),
    ("repeated-none-between", FailedProbes(10, 30, response_at=9), 40, False),
    ("repeated-none-since", FailedProbes(10, 30, response_at=20), 20, False),
    ("repeated-proven-on-both-sides", FailedProbes(10, 30, response_at=20), 30, True),
)
def test_failure_counts_if_another_address_responds(failed: FailedProbes, heard_at: float, admitted: bool) -> None:
    guard = OutageGuard(HOLD)
    guard.response(heard_at, heard_at)
    address: Any = Address(failed)
    assert guard.admits(address, failed, 41) is admitted
    assert guard.pending == (not admitted)


def test_response_looks_at_no_address_that_it_cannot_prove() -> None:
    """After an outage thousands wait for their own next probe: a look at each with each response takes seconds."""
    guard, opaque = OutageGuard(HOLD), [cast(Any, object()) for _ in range(3)]
    assert [guard.admits(one, FailedProbes(20, 30), 31) for one in opaque] == [False] * 3
    assert list(guard.response(40, 41)) == []
    assert guard.pending == 3


class Walked(list[Any]):
    walks = 0

    def __iter__(self) -> Iterator[Any]:
        self.walks += 1
        return super().__iter__()


def test_one_address_in_many_services_is_compared_once_a_second() -> None:
    loop, services = HandLoop(START), Walked([cast(Any, SimpleNamespace(targets=[SimpleNamespace(ip="10.0.0.1")]))])
    engine: Any = None
    outage = SuspectedOutage(
        loop.loop, engine, services, hold=HOLD, canary=None, now=lambda: "", on_change=lambda: None
    )
    target: Any = SimpleNamespace(failed=None, state=SimpleNamespace(ready=True), response_before=0.0)
    walks = []
    for now, added in ((0.0, 0), (0.5, 0), (0.5, 1), (1.4, 0), (1.5, 0)):
        loop.now = START + now
        services += services[:added]
        outage.no_response(target, loop.now, loop.now, None)
        walks.append(services.walks)
    assert walks == [1, 1, 2, 2, 3], "one that comes is noticed at once"


# The prober with a guard, in a network


@dataclass
class Network:
    """Virtual time, addresses, and an engine that probes them. An address responds, refuses, or does not respond.

    A probe is a connection and a request: each takes half of `responses`, and TCP sends it again if it is lost.
    """

    responses: dict[str, float] = field(default_factory=dict)
    cuts: list[tuple[float, float]] = field(default_factory=list)
    dead: dict[str, float] = field(default_factory=dict)  # since when it does not respond
    refusing: dict[str, float] = field(default_factory=dict)
    loop: HandLoop = field(default_factory=lambda: HandLoop(START))
    probes: list[tuple[float, str]] = field(default_factory=list)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)

    @property
    def now(self) -> float:
        return self.loop.now

    def start(self, probe: Any, done: Callable[[Outcome, float], None]) -> Any:
        ip, began = probe.hop.address[0], self.now
        self.probes.append((began, ip))
        ends = began + probe.timeout
        accepted = self._exchanged(ip, began, CONNECTS)
        responded = self._exchanged(ip, accepted, REQUESTS)
        outcome, seconds = OK, responded - began
        if accepted > ends or began >= self.dead.get(ip, inf):
            said = timed_out(probe.timeout, CONNECTING)
            outcome, seconds = Outcome(Result.FAILURE, said, no_response=True), probe.timeout
        elif began >= self.refusing.get(ip, inf):
            outcome, seconds = REFUSED, accepted - began
        elif responded > ends:
            late, said = not accepted_in_time(accepted - began, probe.timeout), timed_out(probe.timeout, WAITING)
            outcome, seconds = Outcome(Result.FAILURE, said, no_response=late), probe.timeout
        handle = [True]
        self._at(began + seconds, lambda: done(outcome, seconds) if handle[0] else None)
        return handle

    def launch(self) -> None:
        pass  # who is started has begun

    def cancel(self, handle: Any) -> None:
        handle[0] = False

    def waited(self, handle: Any) -> float:
        del handle  # every probe has its place at once
        return 0.0

    def run(self, prober: Prober, seconds: float, watch: Callable[[], None]) -> None:
        end = self.now + seconds
        while True:
            event = self._events[0][0] if self._events else inf
            upcoming = min(event, prober.next_due())
            if upcoming > end:
                break
            self.loop.now = max(self.now, upcoming)
            if event <= self.now:
                heapq.heappop(self._events)[2]()
            else:
                prober.tick()
            watch()
        self.loop.now = end

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def _exchanged(self, ip: str, began: float, tries: Iterable[float]) -> float:
        """When a packet sent at `began`, and again after `tries`, is acknowledged."""
        takes = self.responses.get(ip, RESPONSE) / 2
        sent = (began + after for after in tries)
        return next((at + takes for at in sent if not self._down(at) and not self._down(at + takes)), inf)

    def _down(self, when: float) -> bool:
        return any(begin <= when < end for begin, end in self.cuts)


class World:
    """A prober in a network, and every transition with its time."""

    def __init__(self, *, hold: float = HOLD, canary: str = "", phase: float = 0.3) -> None:
        self.network = Network()
        self.told: list[tuple[float, bool]] = []
        self.turned: list[tuple[float, str, bool]] = []
        named = Settings(canary=canary).canary
        self.services: dict[str, Subject] = {}
        self._surroundings = surroundings_of(
            self.network.loop,
            self.network,
            self.services.values(),
            phase=phase,
            hold=hold,
            canary=Canary(named[1], named[0], named[0], START) if named else None,
        )
        self.prober = self._surroundings.prober
        self.outage = self.prober.outage
        self._ready: dict[tuple[str, str], bool] = {}

    def apply(self, name: str, ips: Iterable[str], *, known_ready: bool = False, **probe: Any) -> None:
        usual = {"tcpSocket": {"port": 80}, "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3}
        ready = partial(AddressStatus, ready=True, reason="ProbeSucceeded", lastTransitionTime="2026-01-01T00:00:00Z")
        known = {ip: ready(ip=ip) for ip in ips}
        spec = ExternalServiceSpec.model_validate({"port": 80, "ips": list(known), "readinessProbe": usual | probe})
        service = self.services[name] = Subject(self._surroundings, f"shop/{name}")
        service.on_change = lambda: self._note(name, service.targets.states)
        service.apply(spec, known if known_ready else {}, spread_since=self.network.now if known_ready else None)

    def drop(self, name: str) -> None:
        self.services.pop(name).targets.close()
        self.outage.end_if_idle()
        self._watch()

    def run(self, seconds: float) -> None:
        self.network.run(self.prober, seconds, self._watch)

    def cut(self, seconds: float) -> None:
        """From now on."""
        self.network.cuts.append((self.network.now, self.network.now + seconds))

    def left(self) -> dict[str, float]:
        """When each address that is not ready now has become so, from the start of the network's clock."""
        last = {ip: (at, ready) for at, ip, ready in self.turned}
        return {ip: at for ip, (at, ready) in last.items() if not ready}

    def losses(self) -> list[tuple[float, str]]:
        """Each transition from ready to not ready."""
        return [(at, ip) for at, ip, ready in self.turned if not ready]

    def turned_not_ready(self, since: float) -> list[tuple[str, float]]:
        return [(ip, at) for at, ip in self.losses() if at >= since]

    def _watch(self) -> None:
        if (suspected := self.outage.guard.suspected) is not (bool(self.told) and self.told[-1][1]):
            self.told.append((self.network.now, suspected))

    def _note(self, uid: str, states: Mapping[str, AddressStatus]) -> None:
        for ip, state in states.items():
            if self._ready.get((uid, ip), False) is not state.ready:
                self._ready[uid, ip] = state.ready
                self.turned.append((self.network.now, ip, state.ready))


def fleet(**more: Any) -> World:
    """Two ExternalServices with four addresses, all ready."""
    world = World(**more)
    world.apply("web", ["10.0.0.1", "10.0.0.2"])
    world.apply("api", ["10.0.0.3", "10.0.0.4"], periodSeconds=60, failureThreshold=2)
    world.run(200)
    assert world.left() == {}
    return world


FLEET = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}


def test_own_network_failure_changes_nothing_and_reports_once() -> None:
    world = fleet()
    cut = world.network.now
    world.cut(50)
    world.run(400)
    assert world.losses() == []
    begun, ended = world.told
    assert (begun[1], ended[1]) == (True, False)
    assert 20 < begun[0] - cut <= 30 + 1 + REPORT_SECONDS
    assert 50 <= ended[0] - cut <= 60 + RESPONSE
    assert world.outage.seconds() == pytest.approx(ended[0] - begun[0] + REPORT_SECONDS)


def test_refused_connections_are_published_at_once() -> None:
    world = fleet()
    began = world.network.now
    world.network.refusing = dict.fromkeys(FLEET, began)
    world.run(200)
    left = world.left()
    usual = {"10.0.0.1": 30, "10.0.0.2": 30, "10.0.0.3": 120, "10.0.0.4": 120}
    assert {ip: at - began for ip, at in left.items() if at - began > usual[ip] + RESPONSE} == {}
    assert set(left) == FLEET
    assert world.told == []


def test_single_failure_is_not_delayed() -> None:
    world = World()
    world.apply("web", [f"10.0.0.{number}" for number in range(1, 101)], known_ready=True)
    world.apply("api", ["10.0.1.1"])
    world.run(100)
    began = world.network.now
    world.network.dead = {"10.0.0.7": began}
    world.run(100)
    assert {ip: 20 < at - began <= 31 for ip, at in world.left().items()} == {"10.0.0.7": True}
    starts = sorted((ip, at) for at, ip in world.network.probes)
    assert min(later - at for (ip, at), (same, later) in itertools.pairwise(starts) if ip == same) == pytest.approx(10)
    assert world.told == []


def test_single_failure_with_slow_neighbours_is_not_delayed() -> None:
    """The neighbours are probed early, before the missing responses count."""
    world = fleet()
    world.run(7)
    began = world.network.now
    world.network.dead = dict.fromkeys(["10.0.0.1", "10.0.0.2"], began)
    world.run(200)
    assert {ip: 20 < at - began <= 31.1 for ip, at in world.left().items()} == {"10.0.0.1": True, "10.0.0.2": True}
    assert world.told == []


def test_addresses_dead_after_recovery_are_published() -> None:
    world = fleet()
    world.cut(50)
    healed = world.network.now + 50
    world.network.dead = {"10.0.0.2": world.network.now}
    world.run(400)
    assert [ip for _, ip in world.losses()] == ["10.0.0.2"]
    assert healed < world.left()["10.0.0.2"] <= healed + 10 + 10 + 1.1
    assert [told for _, told in world.told] == [True, False]


def test_probe_in_flight_as_an_outage_ends_decides_nothing() -> None:
    world = World()
    world.apply("web", ["10.0.0.1"], failureThreshold=1)
    world.run(0.6)
    world.apply("api", ["10.0.0.2", "10.0.0.3"], periodSeconds=1, failureThreshold=1)
    world.run(104.4)
    world.cut(5.5)
    world.run(60)
    assert world.losses() == [], "one failed as the network returned, the others had failed before"


@cases(
    "names each",
    ("one-service", ("web",), 5),
    ("two-addresses", ("web", "api"), 1),
)
def test_too_few_addresses_count_every_missing_response(names: tuple[str, ...], each: int) -> None:
    world = World()
    addresses = itertools.count(1)
    for name in names:
        world.apply(name, [f"10.0.0.{next(addresses)}" for _ in range(each)])
    world.run(100)
    world.cut(40)
    world.run(40)
    assert len(world.losses()) == len(names) * each


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_single_failure_is_not_delayed_if_all_are_probed_at_once(threshold: int) -> None:
    world = World()
    world.apply("web", ["10.0.0.1", "10.0.0.2"], failureThreshold=threshold)
    world.apply("api", ["10.0.0.3"])
    world.run(103)
    world.network.dead = {"10.0.0.1": world.network.now}
    world.run(100)
    assert {ip: at - START for ip, at in world.left().items()} == {"10.0.0.1": pytest.approx(101 + 10 * threshold)}


@pytest.mark.parametrize("threshold", [1, 2, 3])
@pytest.mark.parametrize("period", [1, 10])
def test_responding_canary_delays_nothing(threshold: int, period: int) -> None:
    world = World(canary="http://10.9.9.9/healthz")
    world.apply("web", FLEET, periodSeconds=period, failureThreshold=threshold)
    world.run(100)
    began = world.network.now
    world.network.dead = dict.fromkeys(FLEET, began)
    world.run(200)
    assert set(world.left()) == FLEET
    assert max(world.left().values()) - began <= period * threshold + 1 + RESPONSE
    assert world.told == []


def test_canary_is_probed_twice_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "probe_sidecar.prober.outage")
    world = World(canary="10.9.9.9:53")
    world.run(10)
    asked = [at for at, ip in world.network.probes if ip == "10.9.9.9"]
    assert {round(later - earlier, 6) for earlier, later in itertools.pairwise(asked)} == {PERIOD}
    assert world.outage.canary is not None
    assert (world.outage.canary.responds, world.outage.canary.message) == (True, "connected")
    world.cut(100)
    world.run(10)
    assert world.outage.canary.responds is False
    world.run(100)
    assert [text for text in caplog.messages if "canary" in text] == [
        "the canary 10.9.9.9 responds: connected",
        f"the canary 10.9.9.9 (ESO_CANARY) does not respond: {timed_out(1, CONNECTING)}",
        "the canary 10.9.9.9 responds: connected",
    ]


def test_takeover_during_an_outage_has_its_own_hold() -> None:
    world = fleet()
    world.cut(400)
    world.run(240)
    assert set(world.left()) == FLEET, "our own share has been believed to be dead"
    taken = world.network.now
    world.apply("gained", ["10.0.0.5", "10.0.0.6"], known_ready=True)
    world.run(20 + HOLD)
    assert set(world.left()) == FLEET
    world.run(200)
    assert all(at - taken > 20 + HOLD for ip, at in world.turned_not_ready(taken))
    assert {ip for ip, _ in world.turned_not_ready(taken)} == {"10.0.0.5", "10.0.0.6"}


def test_outage_ends_when_nothing_is_probed() -> None:
    world = fleet()
    world.cut(1_000)
    world.run(40)
    assert [told for _, told in world.told] == [True]
    world.drop("web")
    world.drop("api")
    assert [told for _, told in world.told] == [True, False]
    assert world.outage.guard.pending == 0


def every(period: int, threshold: int, timeout: int, successes: int = 1) -> dict[str, int]:
    thresholds = {"failureThreshold": threshold, "successThreshold": successes}
    return {"periodSeconds": period, "timeoutSeconds": timeout} | thresholds


PROBES = st.builds(every, st.integers(1, 60), st.integers(2, 4), st.integers(1, 5), st.integers(1, 2))


@settings(max_examples=examples(20), deadline=None)
@given(
    probes=st.lists(PROBES, min_size=2, max_size=4),
    slow=st.lists(st.sampled_from([RESPONSE, 0.1, 0.45]), min_size=4, max_size=4),
    settled=st.integers(200, 300),
    phase=st.floats(0, 0.99),
    cut=st.tuples(st.floats(0, 0.45), st.integers(0, int(HOLD) - 2), st.floats(0, 1)),
)
@example([every(10, 2, 1)] * 2, [RESPONSE] * 2, 205, 0.1, (0.0, 12, 0.5))  # it ends amid the probe that decides
@example([every(1, 2, 1), every(5, 2, 2)], [RESPONSE, 0.45], 200, 0.0, (0.2, 10, 0.5))  # TCP connects too late
@example([every(1, 2, 2), every(2, 2, 1)], [0.45, RESPONSE], 205, 0.1, (0.05, 10, 0.5))  # others respond before it
@example([every(5, 3, 1), every(1, 2, 2)], [0.45, 0.45], 205, 0.0, (0.3, 3, 0.1))  # it begins after a connection
def test_outage_shorter_than_the_hold_changes_nothing(
    probes: list[dict[str, int]], slow: list[float], settled: int, phase: float, cut: tuple[float, int, float]
) -> None:
    """It begins soon after some address is probed, and ends while it is probed whole seconds later."""
    world = World(phase=phase)
    for number, probe in enumerate(probes):
        ips = [f"10.0.{number}.{last}" for last in range(1, 4)]
        world.network.responses |= dict.fromkeys(ips, slow[number])
        world.apply(f"web-{number}", ips, known_ready=True, **probe)
    world.run(settled)
    due, (begins, whole, ends) = world.prober.next_due(), cut
    world.network.cuts = [(due + begins, due + whole + ends)]
    world.run(400)
    assert world.losses() == []
    assert world.outage.guard.pending == 0
    assert not world.outage.guard.suspected


@settings(max_examples=examples(20), deadline=None)
@given(
    probes=st.lists(PROBES, min_size=2, max_size=4),
    each=st.integers(2, 3),
    settled=st.floats(200, 300),
    hold=st.integers(0, 90),
)
@example(  # the guard is disabled
    probes=[{"periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 1}] * 2, each=2, settled=200.0, hold=0
)
def test_real_outage_is_published_in_the_documented_time(
    probes: list[dict[str, int]], each: int, settled: float, hold: int
) -> None:
    world = World(hold=hold)
    bounds: dict[str, int] = {}
    for number, probe in enumerate(probes):
        ips = [f"10.0.{number}.{last}" for last in range(1, each + 1)]
        world.apply(f"web-{number}", ips, known_ready=True, **probe)
        usual = probe["periodSeconds"] * probe["failureThreshold"] + probe["failureThreshold"] * probe["timeoutSeconds"]
        bounds |= dict.fromkeys(ips, usual + hold)
    world.run(settled)
    began = world.network.now
    world.network.dead = dict.fromkeys(bounds, began)
    world.run(400)
    left = world.left()
    assert set(left) == set(bounds)
    assert {ip: at - began for ip, at in left.items() if at - began > bounds[ip]} == {}

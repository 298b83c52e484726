"""Two sidecars and a Lease: the events of docs/protocol/status.pml with real publishers and probers, in virtual time.

One is stopped at any moment (SIGSTOP), its Lease runs out, the other takes over, the first wakes up; or a share is
handed over because the replicas have changed. Beside them Metacontroller with its stale cache, and lost answers.
Real are StatusPublisher, the prober, the desired status, the JSON Patch, the guard and the policy of the stand-in.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import httpx
import jsonpatch
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from external_service.kind import NOT_PROBED
from external_service.policy import AddressPolicy
from playground.apiserver.schema import stale_status, without_stale_status
from playground.values import same
from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.prober.outage import SuspectedOutage
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.targets import Surroundings, Targets
from probe_sidecar.probes.engine import ProbeHandle
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.probes.prepare import PreparedProbe, Referenced
from probe_sidecar.status.desired import desired_status
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status.stored import StoredStatus
from tests.examples import examples
from tests.parents import parent
from tests.unit.probe_sidecar.status.writers import Writers
from tests.virtual_time import VirtualLoop

Object = dict[str, Any]

IPS = ("10.0.0.1", "10.0.0.2")
PROBE = {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 2}
PARENT = parent(metadata={"name": "web", "uid": "u"}, ips=IPS, readinessProbe=PROBE)
RESOURCE = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")
POLICY = AddressPolicy()
TRIES = 4


class ApiServer:
    """One object. `stored` has all its versions, each watch those that it has not shown yet."""

    def __init__(self, *, guard: bool, policy: bool, clock: Callable[[], float]) -> None:
        self.guard = guard
        self.policy = policy
        self.clock = clock
        self.watches: list[deque[Object]] = []
        meta = {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1}
        self.stored: list[Object] = [{"metadata": meta}]
        self.stored_at = [clock()]
        self.lost_answers = 0

    @property
    def live(self) -> Object:
        return self.stored[-1]

    def watch(self) -> deque[Object]:
        self.watches.append(deque([deepcopy(self.live)]))
        return self.watches[-1]

    def put(self, status: Any, version: str) -> int:
        """Replaces the status as of that version: 200 (under the policy a stale one changes nothing), 409, 422."""
        meta = self.live["metadata"]
        if version != meta["resourceVersion"]:
            return 409
        fresh = {"metadata": meta | {"resourceVersion": str(int(version) + 1)}, "status": deepcopy(status)}
        if self.policy:
            fresh = without_stale_status(self.live, fresh)
        if self.guard and stale_status(self.live, fresh):
            return 422
        if not same(fresh["status"], self.live.get("status")):
            self.stored.append(fresh)
            self.stored_at.append(self.clock())
            for watch in self.watches:
                watch.append(deepcopy(fresh))
        return 200

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """A response takes 10 ms in each direction."""
        await asyncio.sleep(0.01)
        response = self.serve(request)
        await asyncio.sleep(0.01)
        if self.lost_answers:
            self.lost_answers -= 1
            raise httpx.ReadError("cut")
        return response

    def serve(self, request: httpx.Request) -> httpx.Response:
        code = 200
        if request.method == "PATCH":
            lock, *operations = json.loads(request.content)
            patched = jsonpatch.apply_patch(self.live, operations) if lock["value"] == self.version else self.live
            code = self.put(patched.get("status"), lock["value"])
        return httpx.Response(code, json=self.live if code == 200 else {"kind": "Status", "reason": "no"})

    @property
    def version(self) -> str:
        return str(self.live["metadata"]["resourceVersion"])


class Metacontroller:
    """Metacontroller in single steps: read the stale cache, GET, PUT the cached status."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.watch = api.watch()
        self.cached: Object = self.watch.popleft()
        self.queued = True
        self.wanted: Object | None = None
        self.read: str | None = None
        self.tries = 0
        self.children: list[Object] = []

    def hear(self) -> None:
        self.cached, self.queued = self.watch.popleft(), True

    def step(self) -> None:
        """Do the next step: begin a sync, GET, or PUT."""
        if self.wanted is None:
            self.queued, self.tries = False, 0
            echo = deepcopy(self.cached.get("status") or {})
            self.children.append(echo)
            self.wanted = echo | {"observedGeneration": 1}
        elif self.read is None:
            if same(self.api.live.get("status"), self.wanted):
                self.wanted = None
            else:
                self.read = self.api.version
        else:
            code, self.read = self.api.put(self.wanted, self.read), None
            self.tries += 1
            if code != 409 or self.tries == TRIES:
                self.wanted = None
            self.queued |= code == 422

    @property
    def busy(self) -> bool:
        return self.queued or self.wanted is not None


def stamp(turn: int) -> str:
    return f"2026-01-01T{turn // 3_600:02}:{turn // 60 % 60:02}:{turn % 60:02}Z"


class Truth:
    """For each address the number of its last transition, whether it is healthy since, and all transitions."""

    def __init__(self) -> None:
        self.turns = 0
        self.now = dict.fromkeys(IPS, (0, True))
        self.ever = {(ip, 0, True) for ip in IPS}
        self.probes: list[tuple[float, str, bool]] = []

    def turn(self, ip: str) -> None:
        self.turns += 1
        self.now[ip] = self.turns, not self.now[ip][1]
        self.ever.add((ip, *self.now[ip]))

    def last_shown(self, ip: str, up: bool, before: float) -> float:
        """The last time before a moment at which a probe had this result."""
        return max(at for at, one, state in self.probes if one == ip and state is up and at <= before)


class Engine:
    """Probes the truth with a short delay. The message of an outcome is the number of the transition."""

    def __init__(self, loop: VirtualLoop, truth: Truth) -> None:
        self._loop = loop
        self._truth = truth
        self._handles: dict[Any, Callable[[Outcome, float], None]] = {}

    def start(self, probe: PreparedProbe, done: Callable[[Outcome, float], None]) -> ProbeHandle:
        assert probe.hop is not None
        handle = object()
        number, up = self._truth.now[str(probe.hop.address[0])]
        self._truth.probes.append((self._loop.time(), str(probe.hop.address[0]), up))
        self._handles[handle] = done
        outcome = Outcome(Result.SUCCESS if up else Result.FAILURE, str(number))
        self._loop.call_soon(self._finish, handle, outcome)
        return handle  # type: ignore[return-value]  # opaque to its users

    def launch(self) -> None:
        """A started replica begins to work."""

    def cancel(self, handle: ProbeHandle) -> None:
        self._handles.pop(handle, None)

    def waited(self, _handle: ProbeHandle) -> float:
        return 0.0

    def _finish(self, handle: Any, outcome: Outcome) -> None:
        done = self._handles.pop(handle, None)
        if done is not None:
            done(outcome, 0.001)


class Replica:
    """The parts that `probe_sidecar.sidecar` connects, for one object; `holder` is its owner at any moment."""

    def __init__(self, name: str, world: "Takeover") -> None:
        self.name = name
        self.world = world
        self.awake = asyncio.Event()
        self.awake.set()
        self.watch: deque[Object] = world.api.watch()
        self.seen: Object | None = None
        engine: Any = Engine(world.loop, world.truth)
        services = list[Any]()
        outage = SuspectedOutage(
            world.loop, engine, services, hold=0, canary=None, now=self.now, on_change=lambda: None
        )
        self.prober = Prober(world.loop, engine, outage, phase=0.0)
        self.prober.close()  # its timer: the world says when it ticks
        self.surroundings = Surroundings(self.prober, world.loop.time, self.now, POLICY)
        self.targets = Targets(self.surroundings, self, "shop/web")
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.ask), base_url="http://api")
        self.publisher = StatusPublisher(
            cast(asyncio.AbstractEventLoop, self), KubeClient(http), RESOURCE, random=lambda: 0.5
        )
        self.writers = Writers(
            self.publisher,
            self.wanted,
            on_superseded=lambda raw: self.targets.yield_to(StoredStatus.read(raw).probed()),
        )
        self.running = world.loop.create_task(self.publisher.run())

    @property
    def stopped(self) -> bool:
        return not self.awake.is_set()

    def owns(self) -> bool:
        return self.world.holder == self.name or self.world.both

    async def ask(self, request: httpx.Request) -> httpx.Response:
        """Sent requests arrive even if the sender ends; a stopped replica gets the response when it continues."""
        try:
            return await self.world.api.answer(request)
        finally:
            await self.awake.wait()

    def time(self) -> float:
        """As the loop of its publisher."""
        return self.world.loop.time()

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """As the loop of its publisher: a timer waits while the replica is stopped."""

        async def fire() -> None:
            await self.awake.wait()
            if not timer.cancelled():
                callback(*args)

        timer = self.world.loop.call_at(when, lambda: self.world.loop.create_task(fire()))
        return timer

    def show(self) -> None:
        """One version more of its watch."""
        self.seen = self.watch.popleft()
        if self.owns():
            self.work()
        else:
            self.drop()

    def now(self) -> str:
        return stamp(self.world.truth.turns)

    referenced = Referenced()

    def changed(self) -> None:
        self.writers.wake("u")

    def delayed(self, _reason: str) -> None:
        """Nothing is reported of it here."""

    def work(self) -> None:
        assert self.seen is not None
        probed = StoredStatus.read(self.seen).probed()
        self.targets.inherit(probed)
        self.targets.apply(PARENT.spec, probed, spread_since=self.world.loop.time())
        self.writers.observe("u", self.seen)

    def drop(self) -> None:
        self.targets.close()
        self.writers.observe("u", None)

    def wanted(self, raw: Object) -> Object | None:
        if not self.owns():
            return None
        stored = StoredStatus.read(raw)
        self.targets.inherit(stored.probed())
        return desired_status(stored, PARENT.spec, self.targets.states, POLICY, self.now())

    def tick(self) -> None:
        if self.owns():
            self.prober.tick()
        else:
            self.drop()  # before probes are started it looks at its Lease


class Takeover(RuleBasedStateMachine):
    """`holder` is whose Lease has not run out, by that one's own clock: it ends there before another's work begins."""

    @initialize(guard=st.booleans(), policy=st.booleans())
    def start(self, guard: bool, policy: bool = False) -> None:
        self.loop = VirtualLoop()
        self.guard = guard
        self.api = ApiServer(guard=guard, policy=policy and guard, clock=self.loop.time)
        self.truth = Truth()
        self.metacontroller = Metacontroller(self.api) if guard else None
        self.holder: str | None = "a"
        self.both = False
        self.replicas = {name: Replica(name, self) for name in "ab"}
        for replica in self.replicas.values():
            replica.show()

    def pass_time(self, seconds: float) -> None:
        """Advance in steps of at most a period; running replicas probe what is due."""
        while seconds > 0:
            step = min(seconds, 1.0)
            self.loop.run_until_complete(asyncio.sleep(step))
            for replica in self.replicas.values():
                if not replica.stopped:
                    replica.tick()
            self.loop.run_until_complete(asyncio.sleep(0))
            seconds -= step

    def awake(self) -> list[Replica]:
        return [replica for replica in self.replicas.values() if not replica.stopped]

    @rule(ip=st.sampled_from(IPS))
    def turn(self, ip: str) -> None:
        self.truth.turn(ip)

    @rule(seconds=st.sampled_from([0.001, 0.011, 0.5, 1.0, 2.5, 40.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    @precondition(lambda self: any(replica.watch for replica in self.awake()))
    @rule(data=st.data())
    def show(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([replica for replica in self.awake() if replica.watch])).show()

    @precondition(lambda self: self.holder is not None and not self.replicas[self.holder].stopped)
    @rule()
    def stop(self) -> None:
        """SIGSTOP."""
        assert self.holder is not None
        self.replicas[self.holder].awake.clear()

    @precondition(lambda self: self.holder is not None and self.replicas[self.holder].stopped)
    @rule()
    def run_out(self) -> None:
        """Let the Lease of the stopped replica expire."""
        self.holder = None

    @precondition(lambda self: self.holder is None and self.awake())
    @rule(data=st.data())
    def take_over(self, data: st.DataObject) -> None:
        replica = data.draw(st.sampled_from(self.awake()))
        replica.drop()  # if it was its own that ran out
        self.holder = replica.name
        replica.work()

    @precondition(lambda self: len(self.awake()) < 2)
    @rule()
    def go_on(self) -> None:
        """SIGCONT: unless it checks its Lease, it may notice much later that the Lease is lost."""
        for replica in self.replicas.values():
            replica.awake.set()

    @precondition(lambda self: self.holder is not None and len(self.awake()) == 2)
    @rule()
    def hand_over(self) -> None:
        """The owner changes because replicas or objects have changed."""
        assert self.holder is not None
        former, self.holder = self.holder, "b" if self.holder == "a" else "a"
        self.replicas[former].drop()
        self.replicas[self.holder].work()

    @precondition(lambda self: self.holder is not None and not self.both and len(self.awake()) == 2)
    @rule()
    def overlap(self) -> None:
        """The replicas see different members or objects: each believes that it is the owner."""
        self.both = True
        for replica in self.replicas.values():
            replica.work()

    @precondition(lambda self: self.both)
    @rule()
    def agree(self) -> None:
        """The replicas see the same again."""
        self.both = False
        for replica in self.replicas.values():
            if not replica.owns():
                replica.drop()

    @precondition(lambda self: self.metacontroller is not None and self.metacontroller.watch)
    @rule()
    def hear(self) -> None:
        assert self.metacontroller is not None
        self.metacontroller.hear()

    @precondition(lambda self: self.metacontroller is not None and self.metacontroller.busy)
    @rule()
    def sync(self) -> None:
        assert self.metacontroller is not None
        self.metacontroller.step()

    @rule()
    def lose_an_answer(self) -> None:
        self.api.lost_answers = 1

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.go_on()
            self.agree()
            self.come_to_rest()
            self.judge()
        finally:
            for replica in self.replicas.values():
                self.loop.run_until_complete(replica.publisher.close())
                self.loop.run_until_complete(replica.running)
            self.loop.close()

    def come_to_rest(self) -> None:
        if self.holder is None:
            self.holder = "b"
            self.replicas["b"].drop()
            self.replicas["b"].work()
        for _ in range(100):
            before = len(self.api.stored)
            for replica in self.replicas.values():
                while replica.watch:
                    replica.show()
            while self.metacontroller and (self.metacontroller.watch or self.metacontroller.busy):
                while self.metacontroller.watch:
                    self.metacontroller.hear()
                if self.metacontroller.busy:
                    self.metacontroller.step()
            self.pass_time(60)
            if len(self.api.stored) == before and not any(replica.watch for replica in self.replicas.values()):
                return
        raise AssertionError("it never comes to rest")

    def judge(self) -> None:
        status = self.api.live["status"]
        told = {entry["ip"]: entry["ready"] for entry in status["addresses"]}
        assert told == {ip: up for ip, (_, up) in self.truth.now.items()}, "the truth is published in the end"
        if self.metacontroller is not None:
            children = self.metacontroller.children[-1]
            assert same(children["addresses"], status["addresses"]), "and made into children"
            self.judge_history(self.metacontroller.children)
        self.judge_history([version.get("status") or {} for version in self.api.stored])
        self.judge_order()

    def judge_history(self, history: list[Object]) -> None:
        """Only results of probes were reported of each address, and no older status after a newer one."""
        revisions = [status.get("revision", 0) for status in history]
        assert revisions == sorted(revisions)
        for place, ip in enumerate(IPS):
            entries = [status["addresses"][place] for status in history if status.get("addresses")]
            probed = [(int(one["message"]), one["ready"]) for one in entries if one["message"] != NOT_PROBED]
            assert all((ip, number, ready) in self.truth.ever for number, ready in probed), "no probe showed that"

    def judge_order(self) -> None:
        """Reports about an address after a later result: health never goes back."""
        for place, ip in enumerate(IPS):
            before = -1.0
            for at, version in zip(self.api.stored_at, self.api.stored, strict=True):
                entries = (version.get("status") or {}).get("addresses")
                if entries and entries[place]["reason"] in ("ProbeSucceeded", "ProbeFailed"):
                    found = self.truth.last_shown(ip, entries[place]["ready"], at)
                    assert found >= before, f"{ip}: health goes back"
                    before = found


@pytest.mark.hypothesis
def test_takeover_between_two_sidecars() -> None:
    run_state_machine_as_test(Takeover, settings=settings(max_examples=examples(30), stateful_step_count=40))


def test_suspended_replica_checks_its_lease_before_deciding() -> None:
    """Counterexample of the model without the check: after the stop its result is old."""
    world = Takeover()
    world.start(guard=True)
    world.wait(2.5)
    world.turn(IPS[0])
    world.wait(2.0)  # two failures: the result is on its way
    world.lose_an_answer()
    world.stop()
    world.run_out()
    world.wait(1.0)
    world.holder = "b"
    world.replicas["b"].work()
    world.turn(IPS[0])
    world.wait(1.0)
    while world.replicas["b"].watch:
        world.replicas["b"].show()
    world.wait(40.0)
    stored = len(world.api.stored)
    world.go_on()
    world.loop.run_until_complete(asyncio.sleep(5))
    assert len(world.api.stored) == stored, "it has written what it knew before it slept"
    world.teardown()

"""The status protocol with the real publisher: the events of docs/protocol/status.pml in any order, in virtual time.

The parts modelled there are real here: StatusPublisher, the wanted status, the JSON Patch, the guard of the stand-in.
One sidecar; test_takeover_machine has two.
"""

import asyncio
from copy import deepcopy
from typing import Any

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from external_service.kind import NOT_PROBED
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from playground.values import same
from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.status.desired import desired_status
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status.stored import StoredStatus
from tests.examples import examples
from tests.unit.probe_sidecar.status.protocol import ApiServer, Metacontroller, stamp
from tests.unit.probe_sidecar.status.writers import Writers
from tests.virtual_time import VirtualLoop

Object = dict[str, Any]

IPS = ("10.0.0.1", "10.0.0.2")
SPEC = ExternalServiceSpec.model_validate({"port": 80, "ips": IPS, "readinessProbe": {"tcpSocket": {"port": 80}}})
RESOURCE = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")
BY_HAND = "a hand"


class Protocol(RuleBasedStateMachine):
    """The guard is on: health never goes back, whatever the order of events."""

    guard = True
    policy = False

    @initialize(random=st.floats(0, 0.999))
    def start(self, random: float) -> None:
        self.loop = VirtualLoop()
        self.api = ApiServer(guard=self.guard, policy=self.policy)
        self.metacontroller = Metacontroller(self.api)
        self.watch = self.api.watch()
        self.results: dict[str, AddressStatus] = {}
        self.turns = 0
        self.hands = 0
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.api.answer), base_url="http://api")
        self.publisher = StatusPublisher(self.loop, KubeClient(http), RESOURCE, random=lambda: random)
        self.writers = Writers(self.publisher, self.wanted)
        self.running = self.loop.create_task(self.publisher.run())
        self.show()

    def wanted(self, raw: Object) -> Object:
        return desired_status(StoredStatus.read(raw), SPEC, self.results, AddressPolicy(), stamp(self.turns))

    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(ip=st.sampled_from(IPS))
    def turn(self, ip: str) -> None:
        """A probe finds a transition; its number is in the message."""
        self.turns += 1
        held = self.results.get(ip)
        ready = held is None or not held.ready
        self.results[ip] = AddressStatus(
            ip=ip,
            ready=ready,
            reason="ProbeSucceeded" if ready else "ProbeFailed",
            message=str(self.turns),
            lastTransitionTime=stamp(self.turns),
        )
        self.writers.wake("u")

    @precondition(lambda self: self.watch)
    @rule()
    def show(self) -> None:
        """The sidecar's watch shows one more version."""
        self.writers.observe("u", self.watch.popleft())

    @precondition(lambda self: self.metacontroller.watch)
    @rule()
    def hear(self) -> None:
        self.metacontroller.hear()

    @precondition(lambda self: self.metacontroller.busy)
    @rule()
    def sync(self) -> None:
        self.metacontroller.step()

    @rule()
    def resync(self) -> None:
        self.metacontroller.queued = True

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.011, 0.03, 0.2, 5.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule()
    def lose_an_answer(self) -> None:
        self.api.lost_answers = 1

    @precondition(lambda self: self.api.live.get("status", {}).get("addresses") and self.hands < 2)
    @rule()
    def edit(self) -> None:
        """kubectl edit --subresource=status: a raised revision, so that the guard lets it pass."""
        status = deepcopy(self.api.live["status"])
        status["addresses"][0] |= {"ready": not status["addresses"][0]["ready"], "message": BY_HAND}
        self.api.put(status | {"revision": status["revision"] + 1}, self.api.version)
        self.hands += 1

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.come_to_rest()
            self.judge()
            requests, versions = self.api.requests, len(self.api.stored)
            self.pass_time(3_600)
            assert (self.api.requests, len(self.api.stored)) == (requests, versions), "and then no more requests"
        finally:
            self.loop.run_until_complete(self.publisher.close())
            self.loop.run_until_complete(self.running)
            self.loop.close()

    def come_to_rest(self) -> None:
        """Show all events and sync until nothing has happened for two minutes."""
        for _ in range(200):
            before = len(self.api.stored)
            while self.watch or self.metacontroller.watch or self.metacontroller.busy:
                while self.watch:
                    self.show()
                while self.metacontroller.watch:
                    self.metacontroller.hear()
                if self.metacontroller.busy:
                    self.metacontroller.step()
            self.pass_time(120)
            if len(self.api.stored) == before and not self.watch:
                return
        raise AssertionError("it never comes to rest")

    def judge(self) -> None:
        status = self.api.live["status"]
        assert status["observedGeneration"] == 1, "what Metacontroller adds is stored in the end"
        assert same(status, self.wanted(self.api.live)), "what is wanted is stored in the end"
        told = {entry["ip"]: entry["message"] for entry in status["addresses"]}
        assert told == {ip: held.message if (held := self.results.get(ip)) else NOT_PROBED for ip in IPS}
        assert same(self.metacontroller.children[-1]["addresses"], status["addresses"]), "and made into children"
        if self.guard:
            for history in (self.api.stored, [{"status": children} for children in self.metacontroller.children]):
                self.judge_history([version.get("status") or {} for version in history])

    def judge_history(self, history: list[Object]) -> None:
        """Only results of probes were reported of each address, in their order."""
        assert [one.get("revision", 0) for one in history] == sorted(one.get("revision", 0) for one in history)
        for place in range(len(IPS)):
            told = [one["addresses"][place]["message"] for one in history if one.get("addresses")]
            shown = [int(message) for message in told if message not in (BY_HAND, NOT_PROBED)]
            assert shown == sorted(shown), "health never goes back"
            assert all(0 < number <= self.turns for number in shown)


class WithPolicy(Protocol):
    """Kubernetes 1.36 and newer: a stale write returns 200 and changes nothing."""

    policy = True


class WithoutGuard(Protocol):
    """An old CRD: health may go back for a while, but is right in the end."""

    guard = False


@pytest.mark.hypothesis
def test_protocol_with_the_guard() -> None:
    run_state_machine_as_test(Protocol, settings=settings(max_examples=examples(40), stateful_step_count=40))


@pytest.mark.hypothesis
def test_protocol_with_the_policy() -> None:
    run_state_machine_as_test(WithPolicy, settings=settings(max_examples=examples(40), stateful_step_count=40))


@pytest.mark.hypothesis
def test_protocol_without_the_guard_loses_results() -> None:
    run_state_machine_as_test(WithoutGuard, settings=settings(max_examples=examples(20), stateful_step_count=40))

from copy import deepcopy
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest

from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ChildProblem, ExternalServiceSpec, ExternalServiceStatus
from probe_sidecar.status.conditions import Finding, Problems, ReferenceProblem
from probe_sidecar.status.desired import desired_status, rejected_status
from probe_sidecar.status.stored import StoredStatus
from probe_sidecar.status.summary import SUSPECTED_OUTAGE, child_summary
from tests.cases import cases

T0, T1, T2 = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"
PROBE = {"tcpSocket": {"port": 80}}
POLICY = AddressPolicy()
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"

Object = dict[str, Any]


def spec(*ips: str, **fields: Any) -> ExternalServiceSpec:
    return ExternalServiceSpec.model_validate({"port": 80, "ips": ips, "readinessProbe": PROBE} | fields)


def parent(status: Any = None, generation: int = 3) -> StoredStatus:
    raw: Object = {"metadata": {"name": "web", "generation": generation, "resourceVersion": "7"}}
    return StoredStatus.read(raw if status is None else raw | {"status": status})


def up(ip: str, since: str = T0, message: str = "connected") -> AddressStatus:
    return AddressStatus(ip=ip, ready=True, reason="ProbeSucceeded", message=message, lastTransitionTime=since)


def down(ip: str, since: str = T0, message: str = "connection refused") -> AddressStatus:
    return AddressStatus(ip=ip, ready=False, reason="ProbeFailed", message=message, lastTransitionTime=since)


BOTH, UNPROBED, NAMED = spec(A, B), spec(A, readinessProbe=None), spec(A, hostnames=("db.io",))


def desired(
    stored: Any = None,
    at: str = T1,
    *states: AddressStatus,
    wish: ExternalServiceSpec = BOTH,
    policy: AddressPolicy = POLICY,
    generation: int = 3,
    **more: Any,
) -> Object:
    """The desired status of `wish` for the stored one; without `states` A is ready and B is not."""
    found = states or (up(A), down(B))
    seen = parent(stored, generation)
    return desired_status(seen, wish, {state.ip: state for state in found}, policy, at, **more)


def entry(ip: str, ready: bool, reason: str, message: str, since: str = T0, **more: Any) -> Object:
    fields = {"ip": ip, "ready": ready, "reason": reason, "message": message, "lastTransitionTime": since}
    return fields | more


def condition(kind: str, status: str, reason: str, message: str, since: str = T0, *, generation: int = 3) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }


def types(status: Object) -> list[str]:
    return [one["type"] for one in status["conditions"]]


ACCEPTED = condition("Accepted", "True", "Accepted", "every address is allowed")

ONE_OF_TWO: Object = {
    "revision": 1,
    "ready": "1/2",
    "summary": f"{B}: connection refused",
    "ips": f"{A},{B}",
    "addresses": [
        entry(A, True, "ProbeSucceeded", "connected"),
        entry(B, False, "ProbeFailed", "connection refused"),
    ],
    "conditions": [
        condition("Ready", "True", "SomeAddressesReady", "1 of 2 enabled addresses are ready"),
        ACCEPTED,
    ],
}
FIRST, SECOND = ONE_OF_TWO["addresses"]
READY = ONE_OF_TWO["conditions"][0]


def test_first_status_is_complete() -> None:
    assert desired(None, T0) == ONE_OF_TWO


def test_unchanged_results_keep_the_status() -> None:
    seen = ONE_OF_TWO | {"observedGeneration": 3, "children": [{"kind": "Service", "name": "web", "problem": "taken"}]}
    assert desired(seen, T2) == seen


def test_transition_changes_its_time_conditions_and_revision() -> None:
    assert desired(ONE_OF_TWO, T2, down(A, T1), down(B)) == {
        "revision": 2,
        "ready": "0/2",
        "summary": "2 of 2 not ready",
        "ips": f"{A},{B}",
        "addresses": [
            entry(A, False, "ProbeFailed", "connection refused", T1),
            entry(B, False, "ProbeFailed", "connection refused", T0),
        ],
        "conditions": [
            condition("Ready", "False", "NoAddressReady", "0 of 2 enabled addresses are ready", T2),
            ACCEPTED,
        ],
    }


NO_PROBE = "no readinessProbe: always ready"


DRAIN: Object = {"disabledIPs": (A,)}
UNASKED: Object = {"readinessProbe": None}
NEVER_PROBED = AddressStatus(ip=A, ready=True, reason="NoProbe", lastTransitionTime=T0)
drained = partial(entry, A, False, "Disabled", since=T1)


@cases(
    "fields states address column",
    ("unknown starts not ready", {}, (), entry(A, False, "Pending", "not probed yet", T1), "0/1"),
    ("without a probe", UNASKED, (), entry(A, True, "NoProbe", NO_PROBE, T1), "1/1"),
    ("its probe is gone", UNASKED, (down(A),), entry(A, True, "NoProbe", NO_PROBE, T1), "1/1"),
    ("drained while healthy", DRAIN, (up(A),), drained("connected", serving=True), "0/0"),
    ("drained while dead", DRAIN, (down(A),), drained("connection refused", serving=False), "0/0"),
    ("drained before its first result", DRAIN, (), drained("not probed yet"), "0/0"),
    ("drained without a probe", DRAIN | UNASKED, (), drained(NO_PROBE, serving=True), "0/0"),
    ("a new probe: ready until evidence", {}, (NEVER_PROBED,), entry(A, True, "Pending", "not probed yet", T1), "1/1"),
)
def test_status_of_one_address(fields: Object, states: tuple[AddressStatus, ...], address: Object, column: str) -> None:
    found = desired(None, T1, *(states or (up(C),)), wish=spec(A, **fields))
    assert (found["addresses"], found["ready"]) == ([address], column)


@cases(
    "ip policy",
    ("loopback", "127.0.0.1", POLICY),
    ("not canonical", "010.0.0.1", POLICY),
    ("denied by the operator", "10.1.0.1", AddressPolicy(deny=(ip_network("10.1.0.0/16"),))),
)
def test_denied_address_is_reported_and_affects_no_other(ip: str, policy: AddressPolicy) -> None:
    message = policy.refusal(ip)
    assert message is not None
    assert desired(None, T0, up(A), up(ip), wish=spec(ip, A), policy=policy) == {
        "revision": 1,
        "ready": "1/2",
        "summary": f"denied: {ip}",
        "ips": f"{ip},{A}",
        "addresses": [entry(ip, False, "Denied", message), entry(A, True, "ProbeSucceeded", "connected")],
        "conditions": [
            READY,
            condition("Accepted", "False", "AddressDenied", f"1 of 2 addresses are left out: {message}"),
        ],
    }


def test_condition_lists_a_bounded_number_of_denied_addresses() -> None:
    ips = tuple(f"127.0.0.{last}" for last in range(1, 12))
    ready, accepted = desired(wish=spec(*ips))["conditions"]
    named = "; ".join(str(POLICY.refusal(ip)) for ip in ips[:8])
    assert accepted["message"] == f"11 of 11 addresses are left out: {named}; and 3 more, see status.addresses"
    assert ready["reason"] == "NoAddresses"


OPEN = "enabled addresses are ready: all are published as ready because of minReady"
PUBLISHED = "all enabled addresses are published as ready"
NONE_LEFT = ("False", "NoAddresses", "spec.ips is empty, or every entry is denied or disabled")
NO_NAMES = (
    "False",
    "NoAddresses",
    "spec.ips and spec.hostnames give no address, or every address is denied or disabled",
)


@cases(
    "wish states ready fail_open",
    (
        "enough",
        spec(A, B, minReady=1),
        (up(A), down(B)),
        ("True", "SomeAddressesReady", "1 of 2 enabled addresses are ready"),
        ("False", "EnoughReady", "1 ready, minReady is 1"),
    ),
    (
        "too few by a share",
        spec(A, B, minReady="100%"),
        (up(A), down(B)),
        ("True", "FailingOpen", f"1 of 2 {OPEN}"),
        ("True", "TooFewReady", f"1 ready, fewer than minReady 100%: {PUBLISHED}"),
    ),
    (
        "none left",
        spec(A, B, minReady=1),
        (down(A), down(B)),
        ("True", "FailingOpen", f"0 of 2 {OPEN}"),
        ("True", "TooFewReady", f"0 ready, fewer than minReady 1: {PUBLISHED}"),
    ),
    ("all ready", BOTH, (up(A), up(B)), ("True", "AllAddressesReady", "2 of 2 enabled addresses are ready"), None),
    ("all drained", spec(A, disabledIPs=(A,)), (up(A),), NONE_LEFT, None),
    ("no addresses", spec(), (), NONE_LEFT, None),
    ("hostnames without addresses", spec(hostnames=("db.io",)), (), NO_NAMES, None),
)
def test_conditions(wish: ExternalServiceSpec, states: tuple[AddressStatus, ...], ready: Any, fail_open: Any) -> None:
    expected = [condition("Ready", *ready), ACCEPTED]
    expected += [condition("FailOpen", *fail_open)] if fail_open else []
    assert desired(None, T0, *states, wish=wish)["conditions"] == expected


def test_fail_open_ends_and_foreign_conditions_stay() -> None:
    foreign = condition("example.com/Audited", "Unknown", "Waiting", "", generation=1)
    stale = condition("FailOpen", "False", "EnoughReady", "1 ready, minReady is 1")
    seen = ONE_OF_TWO | {"conditions": [foreign, READY, ACCEPTED, stale]}
    assert desired(seen) == ONE_OF_TWO | {"revision": 2, "conditions": [READY, ACCEPTED, foreign]}


CROWDED, OUTAGE = Problems(delay="NoPlaceLeft"), Problems(outage="no response")
TAKEN = (
    "the limit of concurrent probes is reached, so addresses are probed less often than periodSeconds: raise the "
    "prober's limit of open files, ESO_CONCURRENT_PROBES, or the number of replicas"
)
SHOWN, ENDED = ONE_OF_TWO["summary"], ("ResponseReceived", "probed addresses respond")
GONE = Problems(resolution=Finding("Resolved", False, "NameNotFound", "because"))


@cases(
    "problems kind begins ends summary",
    ("late", CROWDED, "ProbesDelayed", ("NoPlaceLeft", TAKEN), ("ProbesInTime", "probes run on time"), SHOWN),
    ("outage", OUTAGE, "SuspectedOutage", ("NoResponse", "no response"), ENDED, SUSPECTED_OUTAGE),
)
def test_condition_begins_and_ends_once(
    problems: Problems, kind: str, begins: tuple[str, str], ends: tuple[str, str], summary: str
) -> None:
    """An ExternalService without the problem has no such condition, nor one without a probe."""
    begun, ended = condition(kind, "True", *begins, T1), condition(kind, "False", *ends, T2)
    first = desired(ONE_OF_TWO, T1, problems=problems)
    assert first == ONE_OF_TWO | {"revision": 2, "summary": summary, "conditions": [READY, ACCEPTED, begun]}
    assert desired(first, T2, problems=problems) == first
    last = desired(first, T2)
    assert last == ONE_OF_TWO | {"revision": 3, "conditions": [READY, ACCEPTED, ended]}
    assert desired(last, T2) == last
    assert types(desired(first, T2, wish=UNPROBED, problems=problems)) == ["Ready", "Accepted"]


@pytest.mark.parametrize("wish", [BOTH, UNPROBED], ids=["probed", "not probed"])
def test_clock_behind_the_status_writes_nothing(wish: ExternalServiceSpec) -> None:
    """A time in the future, written by another replica, stays: a takeover alone is no transition (R3)."""
    states = up(A, T2), down(B, T2)
    ahead = desired(None, T2, *states, wish=wish)
    assert desired(ahead, T0, *states, wish=wish) == ahead


def test_draining_and_undraining_change_the_time_once() -> None:
    alone, drained = spec(A), spec(A, disabledIPs=(A,))
    ready = desired(None, T0, wish=alone)
    off = desired(ready, T1, wish=drained)
    assert off["addresses"] == [entry(A, False, "Disabled", "connected", T1, serving=True)]
    assert desired(off, T2, wish=drained) == off
    back = desired(off, T2, wish=alone)
    assert back["addresses"] == [entry(A, True, "ProbeSucceeded", "connected", T2)]
    assert desired(back, T2, wish=alone) == back


def test_new_generation_changes_only_the_conditions() -> None:
    conditions = [one | {"observedGeneration": 4} for one in ONE_OF_TWO["conditions"]]
    assert desired(ONE_OF_TWO, T2, generation=4) == ONE_OF_TWO | {"revision": 2, "conditions": conditions}


def seventh(**fields: Any) -> Object:
    return ONE_OF_TWO | {"revision": 7} | fields


BROKEN: dict[str, tuple[Any, int]] = {
    "status is a list": ([], 1),
    "revision is a truth value": ({"revision": True}, 1),
    "revision has a point": ({"revision": 7.0}, 1),
    "revision is below zero": ({"revision": -1}, 1),
    "all but the revision is gone": ({"revision": 7}, 8),
    "addresses are a text": (seventh(addresses=f"{A} {B}"), 8),
    "addresses twice": (seventh(addresses=[FIRST, SECOND, FIRST, SECOND]), 8),
    "ready is a number": (seventh(addresses=[FIRST | {"ready": 1}, None]), 8),
    "0 is no false": (seventh(addresses=[FIRST, SECOND | {"ready": 0}]), 8),
    "serving is null": (seventh(addresses=[FIRST, SECOND | {"serving": None}]), 8),
    "an unknown field of an address": (seventh(addresses=[FIRST, SECOND | {"zone": "a"}]), 8),
    "another message": (seventh(addresses=[FIRST, SECOND | {"message": "timed out"}]), 8),
    "a time that is none": (seventh(addresses=[FIRST, SECOND | {"lastTransitionTime": "0"}]), 8),
    "a time in the future": (seventh(addresses=[FIRST | {"lastTransitionTime": "9999-01-01T00:00:00Z"}, SECOND]), 8),
    "conditions are a number": (seventh(conditions=7), 8),
    "bad conditions": (seventh(conditions=[None, "Ready", {"type": "A"}]), 8),
    "children are a text": (seventh(children="none"), 8),
    "observedGeneration is a text": (seventh(observedGeneration="latest"), 8),
}


@pytest.mark.parametrize(("status", "revision"), BROKEN.values(), ids=BROKEN)
def test_malformed_status_is_rewritten_with_a_higher_revision(status: Any, revision: int) -> None:
    before = deepcopy(status)
    found = desired(status, T0)
    assert found == ONE_OF_TWO | {"revision": revision}
    ExternalServiceStatus.model_validate(found)
    assert status == before, "what was read is never changed"


def test_unknown_status_fields_are_kept() -> None:
    kept = {"future": {"field": [1]}, "observedGeneration": 2}
    assert desired(ONE_OF_TWO | kept, T1, up(A), up(B, T1)).items() >= kept.items()


@pytest.mark.parametrize("status", [status for status, _ in BROKEN.values()], ids=BROKEN)
def test_invalid_spec_is_written_once_beside_any_status(status: Any) -> None:
    found = rejected_status(parent(status), "spec.port: write a number", T0)
    ExternalServiceStatus.model_validate(found)
    assert rejected_status(parent(found), "spec.port: write a number", T2) == found


def test_invalid_spec_changes_one_condition() -> None:
    found = rejected_status(parent(ONE_OF_TWO), "spec.port: write a number", T1)
    invalid = condition("Accepted", "False", "InvalidSpec", "spec.port: write a number", T1)
    assert found == ONE_OF_TWO | {
        "revision": 2,
        "summary": "invalid: spec.port: write a number",
        "conditions": [READY, invalid],
    }
    assert rejected_status(parent(), "x" * 5_000, T1) == {
        "revision": 1,
        "summary": "invalid: " + "x" * 87 + " ...",
        "conditions": [condition("Accepted", "False", "InvalidSpec", "x" * 4_096 + " ...", T1)],
    }
    fixed = desired(found, T2)
    assert fixed == ONE_OF_TWO | {"revision": 3, "conditions": [READY, ACCEPTED | {"lastTransitionTime": T2}]}


def test_unavailable_ca_is_reported_and_keeps_readiness() -> None:
    no_ca = Problems(reference=ReferenceProblem("CAUnavailable", "CA shop/ca", "not found", "because"))
    assert desired(ONE_OF_TWO, T1, problems=no_ca) == ONE_OF_TWO | {
        "revision": 2,
        "summary": "CA shop/ca not found",
        "conditions": [READY, condition("Accepted", "False", "CAUnavailable", "because", T1)],
    }


def test_resolved_addresses_follow_with_their_hostname() -> None:
    states = up(A), up(B), down(C)
    more: Object = {
        "wish": NAMED,
        "hostnames": dict.fromkeys((C, A, B, "127.0.0.1"), "db.io"),
        "problems": Problems(resolution=Finding("Resolved", True, "Resolved", "because")),
    }
    found = desired(None, T0, *states, **more)
    assert found["addresses"] == [
        entry(A, True, "ProbeSucceeded", "connected", hostname="db.io"),
        entry(C, False, "ProbeFailed", "connection refused", hostname="db.io"),
        entry(B, True, "ProbeSucceeded", "connected", hostname="db.io"),
        entry("127.0.0.1", False, "Denied", str(POLICY.refusal("127.0.0.1")), hostname="db.io"),
    ]
    assert found["ready"] == "2/4"
    assert found["conditions"][2] == condition("Resolved", "True", "Resolved", "because")
    ExternalServiceStatus.model_validate(found)
    assert desired(found, T2, *states, **more) == found


def test_changed_hostname_is_a_write_without_a_transition() -> None:
    plain = desired(None, T0, wish=NAMED)
    named = desired(plain, T1, wish=NAMED, hostnames={A: "db.io"})
    assert named["addresses"] == [entry(A, True, "ProbeSucceeded", "connected", hostname="db.io")]
    assert named["revision"] == 2
    assert desired(named, T2, wish=NAMED)["addresses"] == plain["addresses"]


@pytest.mark.parametrize("delay", ["", "NoPlaceLeft"])
def test_resolved_condition_stays_until_dns_responds(delay: Any) -> None:
    late = Problems(resolution=GONE.resolution, delay=delay)
    seen = desired(None, T0, wish=NAMED, problems=late)
    assert seen["conditions"][2]["status"] == "False"
    assert desired(seen, T1, wish=NAMED, problems=Problems(delay=delay)) == seen
    assert "Resolved" not in types(desired(seen, T1, wish=spec(A)))


def test_resolved_addresses_count_for_min_ready_and_draining() -> None:
    wish = spec(A, hostnames=("db.io",), minReady=2, disabledIPs=(C,))
    found = desired(None, T0, up(A), down(B), up(C), wish=wish, hostnames={B: "db.io", C: "db.io"})
    assert found["addresses"][2] == entry(C, False, "Disabled", "connected", serving=True, hostname="db.io")
    assert [one["reason"] for one in found["conditions"]] == ["FailingOpen", "Accepted", "TooFewReady"]


def test_missing_service_makes_ready_false() -> None:
    taken = [ChildProblem(kind="Service", name="web", problem="taken")]
    problem = child_summary(taken[0])
    found = desired(ONE_OF_TWO, T1, problems=Problems(children=taken))
    message = f"{problem}: no traffic reaches the addresses, see status.children"
    assert found == ONE_OF_TWO | {
        "revision": 2,
        "summary": problem,
        "conditions": [condition("Ready", "False", "ChildMissing", message, T1), ACCEPTED],
    }
    assert desired(found, T2, problems=Problems(children=taken)) == found
    ready = READY | {"lastTransitionTime": T2}
    assert desired(found, T2) == ONE_OF_TWO | {"revision": 3, "conditions": [ready, ACCEPTED]}


def test_hosts_column_follows_the_spec() -> None:
    shown = desired(wish=spec(A, hosts=[{"host": "a.io"}, {"host": "b.io"}]))
    assert shown["hosts"] == "a.io +1"
    assert "hosts" not in desired(shown, wish=spec(A))

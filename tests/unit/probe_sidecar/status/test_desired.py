from copy import deepcopy
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
A, B = "10.0.0.1", "10.0.0.2"
CROWDED, OUTAGE = Problems(delay="NoPlaceLeft"), Problems(outage="no response")

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


def results(*known: AddressStatus) -> dict[str, AddressStatus]:
    return {one.ip: one for one in known}


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


def test_first_status_is_complete() -> None:
    assert desired_status(parent(), spec(A, B), results(up(A), down(B)), POLICY, T0) == ONE_OF_TWO


def test_unchanged_results_keep_the_status() -> None:
    seen = ONE_OF_TWO | {"observedGeneration": 3, "children": [{"kind": "Service", "name": "web", "problem": "taken"}]}
    assert desired_status(parent(seen), spec(A, B), results(up(A), down(B)), POLICY, T2) == seen


def test_transition_changes_its_time_conditions_and_revision() -> None:
    told = desired_status(parent(ONE_OF_TWO), spec(A, B), results(down(A, T1), down(B)), POLICY, T1)
    assert told == {
        "revision": 2,
        "ready": "0/2",
        "summary": "2 of 2 not ready",
        "ips": f"{A},{B}",
        "addresses": [
            entry(A, False, "ProbeFailed", "connection refused", T1),
            entry(B, False, "ProbeFailed", "connection refused", T0),
        ],
        "conditions": [
            condition("Ready", "False", "NoAddressReady", "0 of 2 enabled addresses are ready", T1),
            ACCEPTED,
        ],
    }


def test_lost_transition_keeps_its_original_time() -> None:
    stale = deepcopy(ONE_OF_TWO)
    told = desired_status(parent(stale), spec(A, B), results(up(A), up(B, T1)), POLICY, T2)
    assert told["addresses"][1] == entry(B, True, "ProbeSucceeded", "connected", T1)


@cases(
    "wish known address column",
    ("unknown starts not ready", {}, (), entry(A, False, "Pending", "not probed yet", T1), "0/1"),
    (
        "without a probe it is ready",
        {"readinessProbe": None},
        (),
        entry(A, True, "NoProbe", "no readinessProbe: always ready", T1),
        "1/1",
    ),
    (
        "a result of a probe that is gone counts no more",
        {"readinessProbe": None},
        (down(A),),
        entry(A, True, "NoProbe", "no readinessProbe: always ready", T1),
        "1/1",
    ),
    (
        "drained while healthy",
        {"disabledIPs": (A,)},
        (up(A),),
        entry(A, False, "Disabled", "connected", T1, serving=True),
        "0/0",
    ),
    (
        "drained while dead",
        {"disabledIPs": (A,)},
        (down(A),),
        entry(A, False, "Disabled", "connection refused", T1, serving=False),
        "0/0",
    ),
    (
        "drained before its first result",
        {"disabledIPs": (A,)},
        (),
        entry(A, False, "Disabled", "not probed yet", T1),
        "0/0",
    ),
    (
        "drained without a probe",
        {"disabledIPs": (A,), "readinessProbe": None},
        (),
        entry(A, False, "Disabled", "no readinessProbe: always ready", T1, serving=True),
        "0/0",
    ),
    (
        "a probe was added: ready until there is evidence",
        {},
        (AddressStatus(ip=A, ready=True, reason="NoProbe", lastTransitionTime=T0),),
        entry(A, True, "Pending", "not probed yet", T1),
        "1/1",
    ),
)
def test_status_of_one_address(wish: Object, known: tuple[AddressStatus, ...], address: Object, column: str) -> None:
    told = desired_status(parent(), spec(A, **wish), results(*known), POLICY, T1)
    assert (told["addresses"], told["ready"]) == ([address], column)


@cases(
    "ip policy",
    ("loopback", "127.0.0.1", POLICY),
    ("not canonical", "010.0.0.1", POLICY),
    ("denied by the operator", "10.1.0.1", AddressPolicy(deny=(ip_network("10.1.0.0/16"),))),
)
def test_denied_address_is_reported_and_affects_no_other(ip: str, policy: AddressPolicy) -> None:
    message = policy.refusal(ip)
    assert message is not None
    told = desired_status(parent(), spec(ip, A), results(up(A), up(ip)), policy, T0)
    assert told == {
        "revision": 1,
        "ready": "1/2",
        "summary": f"denied: {ip}",
        "ips": f"{ip},{A}",
        "addresses": [entry(ip, False, "Denied", message), entry(A, True, "ProbeSucceeded", "connected")],
        "conditions": [
            condition("Ready", "True", "SomeAddressesReady", "1 of 2 enabled addresses are ready"),
            condition("Accepted", "False", "AddressDenied", f"1 of 2 addresses are left out: {message}"),
        ],
    }


def test_condition_lists_a_bounded_number_of_denied_addresses() -> None:
    ips = tuple(f"127.0.0.{last}" for last in range(1, 12))
    told = desired_status(parent(), spec(*ips), {}, POLICY, T0)
    message = told["conditions"][1]["message"]
    named = "; ".join(str(POLICY.refusal(ip)) for ip in ips[:8])
    assert message == f"11 of 11 addresses are left out: {named}; and 3 more, see status.addresses"
    assert told["conditions"][0]["reason"] == "NoAddresses"


def test_addresses_have_the_order_of_the_spec() -> None:
    told = desired_status(parent(), spec(B, A, B), results(up(A), up(B)), POLICY, T0)
    assert [address["ip"] for address in told["addresses"]] == [B, A]
    assert told["ready"] == "2/2"


@cases(
    "wish known ready fail_open",
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
        (
            "True",
            "FailingOpen",
            "1 of 2 enabled addresses are ready: all are published as ready because of minReady",
        ),
        ("True", "TooFewReady", "1 ready, fewer than minReady 100%: all enabled addresses are published as ready"),
    ),
    (
        "none left",
        spec(A, B, minReady=1),
        (down(A), down(B)),
        (
            "True",
            "FailingOpen",
            "0 of 2 enabled addresses are ready: all are published as ready because of minReady",
        ),
        ("True", "TooFewReady", "0 ready, fewer than minReady 1: all enabled addresses are published as ready"),
    ),
    (
        "all ready, minReady not set",
        spec(A, B),
        (up(A), up(B)),
        ("True", "AllAddressesReady", "2 of 2 enabled addresses are ready"),
        None,
    ),
    (
        "all drained",
        spec(A, disabledIPs=(A,)),
        (up(A),),
        ("False", "NoAddresses", "spec.ips is empty, or every entry is denied or disabled"),
        None,
    ),
    (
        "no addresses",
        spec(),
        (),
        ("False", "NoAddresses", "spec.ips is empty, or every entry is denied or disabled"),
        None,
    ),
)
def test_conditions(wish: ExternalServiceSpec, known: tuple[AddressStatus, ...], ready: Any, fail_open: Any) -> None:
    told = desired_status(parent(), wish, results(*known), POLICY, T0)
    expected = [condition("Ready", *ready), ACCEPTED]
    assert told["conditions"] == expected + ([condition("FailOpen", *fail_open)] if fail_open else [])


def test_fail_open_ends_and_foreign_conditions_stay() -> None:
    foreign = condition("example.com/Audited", "Unknown", "Waiting", "", generation=1)
    stale = condition("FailOpen", "False", "EnoughReady", "1 ready, minReady is 1")
    seen = ONE_OF_TWO | {"conditions": [foreign, *ONE_OF_TWO["conditions"], stale]}
    told = desired_status(parent(seen), spec(A, B), results(up(A), down(B)), POLICY, T1)
    assert told == ONE_OF_TWO | {"revision": 2, "conditions": [*ONE_OF_TWO["conditions"], foreign]}


TAKEN = (
    "the limit of concurrent probes is reached, so addresses are probed less often than periodSeconds: raise the "
    "prober's limit of open files, ESO_CONCURRENT_PROBES, or the number of replicas"
)


def test_probes_delayed_condition_begins_and_ends() -> None:
    """And the same once more is no write; who never was late has no such condition."""
    known = results(up(A), down(B))
    late = desired_status(parent(ONE_OF_TWO), spec(A, B), known, POLICY, T1, problems=CROWDED)
    told = condition("ProbesDelayed", "True", "NoPlaceLeft", TAKEN) | {"lastTransitionTime": T1}
    assert late == ONE_OF_TWO | {"revision": 2, "conditions": [*ONE_OF_TWO["conditions"], told]}
    assert desired_status(parent(late), spec(A, B), known, POLICY, T2, problems=CROWDED) == late
    over = desired_status(parent(late), spec(A, B), known, POLICY, T2)
    ended = condition("ProbesDelayed", "False", "ProbesInTime", "probes run on time")
    ended |= {"lastTransitionTime": T2}
    assert over == ONE_OF_TWO | {"revision": 3, "conditions": [*ONE_OF_TWO["conditions"], ended]}
    assert desired_status(parent(over), spec(A, B), known, POLICY, T2) == over


def test_probes_delayed_is_absent_without_a_probe() -> None:
    late = desired_status(parent(), spec(A), results(up(A)), POLICY, T0, problems=Problems(delay="ProberFault"))
    assert [one["type"] for one in late["conditions"]] == ["Ready", "Accepted", "ProbesDelayed"]
    unprobed = spec(A).model_copy(update={"readinessProbe": None})
    told = desired_status(parent(late), unprobed, {}, POLICY, T1)
    assert [one["type"] for one in told["conditions"]] == ["Ready", "Accepted"]


@pytest.mark.parametrize("probed", [True, False])
def test_clock_behind_the_status_writes_nothing(probed: bool) -> None:
    """Nor to date again what another has dated in its future: a takeover alone is no transition (R3)."""
    wish = spec(A, B) if probed else spec(A, B).model_copy(update={"readinessProbe": None})
    ahead = desired_status(parent(), wish, results(up(A, T2), down(B, T2)) if probed else {}, POLICY, T2)
    taken_over = results(up(A, T2), down(B, T2)) if probed else {}
    assert desired_status(parent(ahead), wish, taken_over, POLICY, T0) == ahead


def test_suspected_outage_condition_begins_and_ends() -> None:
    known = results(up(A), down(B))
    doubting = desired_status(parent(ONE_OF_TWO), spec(A, B), known, POLICY, T1, problems=OUTAGE)
    degraded = condition("SuspectedOutage", "True", "NoResponse", "no response", T1)
    assert doubting == ONE_OF_TWO | {
        "revision": 2,
        "summary": SUSPECTED_OUTAGE,
        "conditions": [*ONE_OF_TWO["conditions"], degraded],
    }
    again = desired_status(parent(doubting), spec(A, B), known, POLICY, T2, problems=OUTAGE)
    assert again == doubting
    over = desired_status(parent(doubting), spec(A, B), known, POLICY, T2)
    answered = condition("SuspectedOutage", "False", "ResponseReceived", "probed addresses respond", T2)
    assert over == ONE_OF_TWO | {"revision": 3, "conditions": [*ONE_OF_TWO["conditions"], answered]}
    assert desired_status(parent(over), spec(A, B), known, POLICY, T2) == over


def test_suspected_outage_is_absent_without_a_probe() -> None:
    unprobed = spec(A, readinessProbe=None)
    assert desired_status(parent(), unprobed, {}, POLICY, T1, problems=OUTAGE) == desired_status(
        parent(), unprobed, {}, POLICY, T1
    )


def test_draining_and_undraining_change_the_time_once() -> None:
    known = results(up(A, T0))
    ready = desired_status(parent(), spec(A), known, POLICY, T0)
    drained = desired_status(parent(ready), spec(A, disabledIPs=(A,)), known, POLICY, T1)
    assert drained["addresses"] == [entry(A, False, "Disabled", "connected", T1, serving=True)]
    assert desired_status(parent(drained), spec(A, disabledIPs=(A,)), known, POLICY, T2) == drained
    back = desired_status(parent(drained), spec(A), known, POLICY, T2)
    assert back["addresses"] == [entry(A, True, "ProbeSucceeded", "connected", T2)]
    assert desired_status(parent(back), spec(A), known, POLICY, T2) == back


def test_new_generation_changes_only_the_conditions() -> None:
    told = desired_status(parent(ONE_OF_TWO, generation=4), spec(A, B), results(up(A), down(B)), POLICY, T2)
    conditions = [condition | {"observedGeneration": 4} for condition in ONE_OF_TWO["conditions"]]
    assert told == ONE_OF_TWO | {"revision": 2, "conditions": conditions}


BROKEN = [
    pytest.param([], 1, id="status is a list"),
    pytest.param("1/2", 1, id="status is a text"),
    pytest.param({"revision": "seven"}, 1, id="revision is a text"),
    pytest.param({"revision": True}, 1, id="revision is a truth value"),
    pytest.param({"revision": 7.0}, 1, id="revision has a point"),
    pytest.param(ONE_OF_TWO | {"revision": None}, 1, id="revision is null"),
    pytest.param({"revision": 7}, 8, id="all but the revision is gone"),
    pytest.param(ONE_OF_TWO | {"revision": 7, "addresses": f"{A} {B}"}, 8, id="addresses are a text"),
    pytest.param(ONE_OF_TWO | {"revision": 7, "addresses": {A: True}}, 8, id="addresses are a map"),
    pytest.param(
        ONE_OF_TWO | {"revision": 7, "addresses": [ONE_OF_TWO["addresses"][0] | {"ready": 1}, None]}, 8,
        id="ready is a number",
    ),
    pytest.param(
        ONE_OF_TWO | {"revision": 7, "addresses": [*ONE_OF_TWO["addresses"], *ONE_OF_TWO["addresses"]]}, 8,
        id="addresses twice",
    ),
    pytest.param(ONE_OF_TWO | {"revision": 7, "conditions": [None, "Ready", {"type": "A"}]}, 8, id="bad conditions"),
    pytest.param(ONE_OF_TWO | {"revision": 7, "children": "none"}, 8, id="children are a text"),
    pytest.param(ONE_OF_TWO | {"revision": 7, "children": None}, 8, id="children are null"),
    pytest.param(ONE_OF_TWO | {"revision": 7, "observedGeneration": "latest"}, 8, id="observedGeneration is a text"),
    pytest.param(
        ONE_OF_TWO | {"revision": 7, "addresses": [a | {"lastTransitionTime": "9999-01-01T00:00:00Z"}
                                                   for a in ONE_OF_TWO["addresses"]]}, 8,
        id="times in the future",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("status", "revision"), BROKEN)
def test_malformed_status_is_rewritten_with_a_higher_revision(status: Any, revision: int) -> None:
    before = deepcopy(status)
    told = desired_status(parent(status), spec(A, B), results(up(A), down(B)), POLICY, T0)
    assert told == ONE_OF_TWO | {"revision": revision}
    ExternalServiceStatus.model_validate(told)
    assert status == before, "what was read is never changed"


def test_unknown_status_fields_are_kept() -> None:
    seen = ONE_OF_TWO | {"future": {"field": [1]}, "observedGeneration": 2}
    told = desired_status(parent(seen), spec(A, B), results(up(A), up(B, T1)), POLICY, T1)
    assert {key: told[key] for key in ("future", "observedGeneration")} == {
        "future": {"field": [1]},
        "observedGeneration": 2,
    }


@pytest.mark.parametrize("status", [parameter.values[0] for parameter in BROKEN], ids=[str(p.id) for p in BROKEN])
def test_invalid_spec_keeps_the_addresses(status: Any) -> None:
    told = rejected_status(parent(status), "spec.port: write a number", T0)
    ExternalServiceStatus.model_validate(told)
    assert rejected_status(parent(told), "spec.port: write a number", T2) == told


def test_invalid_spec_changes_one_condition() -> None:
    told = rejected_status(parent(ONE_OF_TWO), "spec.port: write a number", T1)
    invalid = condition("Accepted", "False", "InvalidSpec", "spec.port: write a number", T1)
    assert told == ONE_OF_TWO | {
        "revision": 2,
        "summary": "invalid: spec.port: write a number",
        "conditions": [ONE_OF_TWO["conditions"][0], invalid],
    }
    fresh = rejected_status(parent(), "x" * 5_000, T1)
    assert fresh == {
        "revision": 1,
        "summary": "invalid: " + "x" * 87 + " ...",
        "conditions": [condition("Accepted", "False", "InvalidSpec", "x" * 4_096 + " ...", T1)],
    }
    mended = desired_status(parent(told), spec(A, B), results(up(A), down(B)), POLICY, T2)
    assert mended == ONE_OF_TWO | {
        "revision": 3,
        "conditions": [ONE_OF_TWO["conditions"][0], ACCEPTED | {"lastTransitionTime": T2}],
    }


def test_unavailable_ca_is_reported_and_keeps_readiness() -> None:
    no_ca = Problems(reference=ReferenceProblem("CAUnavailable", "CA shop/ca", "not found", "because"))
    before = desired_status(parent(), spec(A, B), results(up(A), down(B)), POLICY, T0)
    told = desired_status(parent(before), spec(A, B), results(up(A), down(B)), POLICY, T1, problems=no_ca)
    unaccepted = condition("Accepted", "False", "CAUnavailable", "because", T1)
    assert told == ONE_OF_TWO | {
        "revision": 2,
        "summary": "CA shop/ca not found",
        "conditions": [ONE_OF_TWO["conditions"][0], unaccepted],
    }


@cases(
    "change",
    ("0 is no false", {"ready": 0}),
    ("a null", {"serving": None}),
    ("an unknown field", {"zone": "a"}),
    ("another message", {"message": "timed out"}),
    ("a time that is none", {"lastTransitionTime": "0"}),
    ("a time in the future", {"lastTransitionTime": T2}),
)
def test_differing_address_entry_is_rewritten(change: Object) -> None:
    seen = deepcopy(ONE_OF_TWO)
    seen["addresses"][1] |= change
    told = desired_status(parent(seen), spec(A, B), results(up(A), down(B)), POLICY, T1)
    assert told == ONE_OF_TWO | {"revision": 2}
    assert told["addresses"][1] == entry(B, False, "ProbeFailed", "connection refused", T0)


C = "10.0.0.3"
NAMED = spec(A, hostnames=("db.io",))
RESOLVED = Finding("Resolved", True, "Resolved", "because")
FOUND = Problems(resolution=RESOLVED)


def test_resolved_addresses_follow_with_their_hostname() -> None:
    names = {C: "db.io", A: "db.io", B: "db.io", "127.0.0.1": "db.io"}
    told = desired_status(
        parent(),
        NAMED,
        results(up(A), up(B), down(C)),
        POLICY,
        T0,
        hostnames=names,
        problems=FOUND,
    )
    refused = POLICY.refusal("127.0.0.1")
    assert refused is not None
    assert told["addresses"] == [
        entry(A, True, "ProbeSucceeded", "connected", hostname="db.io"),
        entry(C, False, "ProbeFailed", "connection refused", hostname="db.io"),
        entry(B, True, "ProbeSucceeded", "connected", hostname="db.io"),
        entry("127.0.0.1", False, "Denied", refused, hostname="db.io"),
    ]
    assert told["ready"] == "2/4"
    assert told["conditions"][2] == condition("Resolved", "True", "Resolved", "because")
    ExternalServiceStatus.model_validate(told)
    assert (
        desired_status(
            parent(told),
            NAMED,
            results(up(A), up(B), down(C)),
            POLICY,
            T2,
            hostnames=names,
            problems=FOUND,
        )
        == told
    )


def test_changed_hostname_is_a_write_without_a_transition() -> None:
    plain = desired_status(parent(), NAMED, results(up(A)), POLICY, T0)
    named = desired_status(parent(plain), NAMED, results(up(A)), POLICY, T1, hostnames={A: "db.io"})
    assert named["addresses"] == [entry(A, True, "ProbeSucceeded", "connected", hostname="db.io")]
    assert named["revision"] == 2
    assert desired_status(parent(named), NAMED, results(up(A)), POLICY, T2)["addresses"] == plain["addresses"]


def test_resolved_condition_stays_until_dns_responds() -> None:
    gone = Finding("Resolved", False, "NameNotFound", "because")
    seen = desired_status(parent(), NAMED, results(up(A)), POLICY, T0, problems=Problems(resolution=gone))
    assert seen["conditions"][2]["status"] == "False"
    assert desired_status(parent(seen), NAMED, results(up(A)), POLICY, T1) == seen
    late = Problems(resolution=gone, delay="NoPlaceLeft")
    both = desired_status(parent(), NAMED, results(up(A)), POLICY, T0, problems=late)
    assert desired_status(parent(both), NAMED, results(up(A)), POLICY, T1, problems=CROWDED) == both
    without = desired_status(parent(seen), spec(A), results(up(A)), POLICY, T1)
    assert [one["type"] for one in without["conditions"]] == ["Ready", "Accepted"]


def test_hostnames_without_addresses_are_reported() -> None:
    told = desired_status(parent(), spec(hostnames=("db.io",)), {}, POLICY, T0)
    assert told["conditions"][0] == condition(
        "Ready",
        "False",
        "NoAddresses",
        "spec.ips and spec.hostnames give no address, or every address is denied or disabled",
    )


def test_resolved_addresses_count_for_min_ready_and_draining() -> None:
    wish = spec(A, hostnames=("db.io",), minReady=2, disabledIPs=(C,))
    told = desired_status(
        parent(),
        wish,
        results(up(A), down(B), up(C)),
        POLICY,
        T0,
        hostnames={B: "db.io", C: "db.io"},
        problems=FOUND,
    )
    assert told["addresses"][2] == entry(C, False, "Disabled", "connected", serving=True, hostname="db.io")
    assert [(one["type"], one["reason"]) for one in told["conditions"]] == [
        ("Ready", "FailingOpen"),
        ("Accepted", "Accepted"),
        ("FailOpen", "TooFewReady"),
        ("Resolved", "Resolved"),
    ]


def test_invalid_spec_keeps_the_hostnames() -> None:
    seen = desired_status(parent(), NAMED, results(up(A)), POLICY, T0, hostnames={A: "db.io"})
    assert rejected_status(parent(seen), "spec.port: is missing", T1)["addresses"] == seen["addresses"]


def test_missing_service_makes_ready_false() -> None:
    taken = [ChildProblem(kind="Service", name="web", problem="taken")]
    problem = child_summary(taken[0])
    known = results(up(A), down(B))
    told = desired_status(parent(ONE_OF_TWO), spec(A, B), known, POLICY, T1, problems=Problems(children=taken))
    message = f"{problem}: no traffic reaches the addresses, see status.children"
    assert told == ONE_OF_TWO | {
        "revision": 2,
        "summary": problem,
        "conditions": [condition("Ready", "False", "ChildMissing", message, T1), ACCEPTED],
    }
    assert desired_status(parent(told), spec(A, B), known, POLICY, T2, problems=Problems(children=taken)) == told
    back = desired_status(parent(told), spec(A, B), known, POLICY, T2)
    ready = ONE_OF_TWO["conditions"][0] | {"lastTransitionTime": T2}
    assert back == ONE_OF_TWO | {"revision": 3, "conditions": [ready, ACCEPTED]}


def test_older_status_gets_the_columns_in_one_write() -> None:
    old = {field: value for field, value in ONE_OF_TWO.items() if field not in ("summary", "ips")}
    told = desired_status(parent(old), spec(A, B), results(up(A), down(B)), POLICY, T2)
    assert told == ONE_OF_TWO | {"revision": 2}
    assert desired_status(parent(told), spec(A, B), results(up(A), down(B)), POLICY, T2) == told


def test_hosts_column_follows_the_spec() -> None:
    hosts = [{"host": "a.io"}, {"host": "b.io"}]
    told = desired_status(parent(), spec(A, hosts=hosts), results(up(A)), POLICY, T0)
    assert told["hosts"] == "a.io +1"
    assert "hosts" not in desired_status(parent(told), spec(A), results(up(A)), POLICY, T1)

from copy import deepcopy
from itertools import count
from typing import Any

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from external_service.kind import Reason
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec, ExternalServiceStatus
from probe_sidecar.status.desired import desired_status
from probe_sidecar.status.patch import content_hash, patch, same
from probe_sidecar.status.stored import StoredStatus
from tests.cases import cases

LOCK = {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"}
META = {"name": "web", "resourceVersion": "41", "generation": 1}
IPS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "127.0.0.1", "fd00::1")


def address(ip: str, ready: bool) -> dict[str, Any]:
    return {"ip": ip, "ready": ready, "reason": "ProbeSucceeded" if ready else "ProbeFailed", "message": "m"}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": f"/status{path}", "value": value}


FIRST = {"revision": 1}
BOTH, ONE = [address("a", True), address("b", True)], [address("a", True), address("b", False)]


@cases(
    "seen desired operations",
    ("no status", {}, FIRST, [add("", FIRST)]),
    ("null", {"status": None}, FIRST, [add("", FIRST)]),
    ("a list", {"status": ["a"]}, FIRST, [add("", FIRST)]),
    ("empty", {"status": {}}, {"a": 1}, [add("/a", 1)]),
    (
        "whole fields that differ",
        {"status": {"revision": 1, "ready": "2/2", "addresses": BOTH}},
        {"revision": 2, "ready": "2/2", "addresses": ONE},
        [add("/revision", 2), add("/addresses", ONE)],
    ),
    ("a field that has to go", {"status": {"revision": 2, "children": []}}, FIRST, [add("", FIRST)]),
    ("a number is no truth value", {"status": {"ready": 1}}, {"ready": True}, [add("/ready", True)]),
    ("an odd name", {"status": {}}, {"a/b~c": 1}, [add("/a~1b~0c", 1)]),
)
def test_patch_operations(seen: dict[str, Any], desired: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    assert patch(seen | {"metadata": META}, desired) == [LOCK, *operations]


def test_equal_statuses_have_no_patch() -> None:
    assert patch({"metadata": META, "status": {"revision": 1}}, {"revision": 1}) == []


@cases(
    "one other",
    ("true and 1", True, 1),
    ("1 and 1.0", 1, 1.0),
    ("null and absent", {"a": None}, {}),
    ("a shorter list", [1, 2], [1]),
    ("nested", [[0]], [[False]]),
    ("nested maps", {"a": {"b": 1}}, {"a": {"b": 2}}),
)
def test_json_differences(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
    assert same(one, deepcopy(one))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("revision", "ready", "addresses", "conditions", "children", "observedGeneration", "other")
HAND_MADE = st.none() | JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5)
SPECS = st.builds(
    lambda ips, disabled, probe, least: ExternalServiceSpec.model_validate(
        {"port": 1, "ips": ips, "disabledIPs": disabled, "minReady": least}
        | ({"readinessProbe": {"tcpSocket": {"port": 1}}} if probe else {})
    ),
    st.lists(st.sampled_from(IPS), max_size=5),
    st.lists(st.sampled_from(IPS), max_size=2),
    st.booleans(),
    st.sampled_from([0, 1, "50%"]),
)
VERDICTS = st.dictionaries(st.sampled_from(IPS), st.booleans(), max_size=4)
STEPS = st.lists(
    st.tuples(st.just("spec") | st.just("verdicts") | st.just("hand"), SPECS, VERDICTS, HAND_MADE), max_size=8
)


@given(HAND_MADE, STEPS)
def test_patch_turns_any_status_into_the_desired_one(first: Any, steps: list[Any]) -> None:
    """The patch makes the desired status of any stored status, spec and results, and a second patch is empty."""
    clock = count()
    spec, states = ExternalServiceSpec(port=1, ips=IPS[:2]), dict[str, AddressStatus]()
    raw: dict[str, Any] = {"metadata": META, "status": first}
    for what, next_spec, verdicts, hand in [("start", spec, {}, None), *steps]:
        now = f"2026-01-01T00:00:{next(clock):02}Z"
        if what == "spec":
            spec = next_spec
        elif what == "hand":
            raw = {"metadata": META, "status": hand}
        for ip, ready in verdicts.items() if what == "verdicts" else ():
            reason: Reason = "ProbeSucceeded" if ready else "ProbeFailed"
            if ip not in states or states[ip].ready is not ready:
                states[ip] = AddressStatus(ip=ip, ready=ready, reason=reason, message="m", lastTransitionTime=now)
        before = raw["status"]
        wanted = desired_status(StoredStatus.read(raw), spec, states, AddressPolicy(), now)
        operations = patch(raw, wanted)
        raw = jsonpatch.apply_patch(raw, operations)

        assert same(raw, {"metadata": META, "status": wanted})
        assert (operations == []) == same(before, wanted)
        assert patch(raw, desired_status(StoredStatus.read(raw), spec, states, AddressPolicy(), now)) == []
        ExternalServiceStatus.model_validate(wanted)
        seen = before.get("revision") if isinstance(before, dict) else None
        if type(seen) is int and seen >= 0:
            assert wanted["revision"] == seen + bool(operations)
            assert bool(operations) or content_hash(before) == content_hash(wanted)
        else:
            assert wanted["revision"] == 1

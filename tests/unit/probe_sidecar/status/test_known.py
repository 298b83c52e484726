from typing import Any

import pytest

from external_service.v1alpha1 import AddressStatus
from probe_sidecar.status.known import (
    known_addresses,
    seen_addresses,
    seen_conditions,
    seen_doubt,
    seen_entries,
    seen_names,
    seen_revision,
)

T0 = "2026-01-01T00:00:00Z"


def entry(**fields: Any) -> dict[str, Any]:
    return {"ip": "10.0.0.1", "message": "HTTP 200", "lastTransitionTime": T0} | fields


def state(ready: bool, reason: str, message: str = "HTTP 200") -> AddressStatus:
    return AddressStatus.model_validate(
        {"ip": "10.0.0.1", "ready": ready, "reason": reason, "message": message, "lastTransitionTime": T0}
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(
            entry(ready=True, reason="ProbeSucceeded"), state(True, "ProbeSucceeded"), id="a ready address stays ready"
        ),
        pytest.param(
            entry(ready=False, reason="ProbeFailed"), state(False, "ProbeFailed"), id="a failed address stays failed"
        ),
        pytest.param(entry(ready=True, reason="NoProbe"), state(True, "NoProbe"), id="an unprobed address stays ready"),
        pytest.param(
            entry(ready=True, reason="Pending"), state(True, "Pending"), id="ready while its new probe has no verdict"
        ),
        pytest.param(entry(ready=False, reason="Pending"), None, id="a pending address is new"),
        pytest.param(entry(ready=False, reason="Denied"), None, id="a denied address was never probed"),
        pytest.param(
            entry(ready=False, reason="Disabled", serving=True),
            state(True, "ProbeSucceeded"),
            id="a drained healthy address is known as healthy",
        ),
        pytest.param(
            entry(ready=False, reason="Disabled", serving=False),
            state(False, "ProbeFailed"),
            id="a drained dead address is known as dead",
        ),
        pytest.param(entry(ready=False, reason="Disabled"), None, id="a drained address without a verdict is new"),
        pytest.param(entry(ready=True, reason="Disabled", serving=True), None, id="drained and ready contradict"),
        pytest.param(entry(ready=True, reason="ProbeFailed"), None, id="failed and ready contradict"),
        pytest.param(entry(ready=False, reason="ProbeSucceeded"), None, id="succeeded and not ready contradict"),
        pytest.param(
            entry(ready=True, reason="ProbeSucceeded", serving=False), None, id="serving without being drained"
        ),
        pytest.param(entry(ready="yes", reason="ProbeSucceeded"), None, id="ready is a text"),
        pytest.param(entry(ready=1, reason="ProbeSucceeded"), None, id="ready is a number"),
        pytest.param(entry(ready=True, reason="Splendid"), None, id="a reason nobody knows"),
        pytest.param(
            entry(ready=True, reason="ProbeSucceeded", lastTransitionTime="yesterday"), None, id="a time that is none"
        ),
        pytest.param({"ip": "10.0.0.1"}, None, id="fields missing"),
        pytest.param("10.0.0.1", None, id="a text for an entry"),
        pytest.param(None, None, id="null for an entry"),
    ],
)
def test_what_the_probes_last_said(seen: Any, expected: AddressStatus | None) -> None:
    known = known_addresses({"status": {"addresses": [seen]}})
    assert known == ({} if expected is None else {"10.0.0.1": expected})


@pytest.mark.parametrize(
    "parent",
    [
        pytest.param({}, id="no status"),
        pytest.param({"status": None}, id="null"),
        pytest.param({"status": []}, id="a list"),
        pytest.param({"status": "ready"}, id="a text"),
        pytest.param({"status": {"addresses": "10.0.0.1"}}, id="addresses are a text"),
        pytest.param({"status": {"addresses": {"10.0.0.1": True}}}, id="addresses are a map"),
        pytest.param({"status": {"conditions": 7, "revision": "7"}}, id="conditions are a number"),
        pytest.param({"status": {"conditions": [{"type": "Ready"}], "revision": True}}, id="half a condition"),
        pytest.param({"status": {"revision": -1}}, id="a revision below zero"),
        pytest.param({"status": {"revision": 1.0}}, id="a revision with a point"),
    ],
)
def test_a_wrong_shaped_status_says_nothing(parent: dict[str, Any]) -> None:
    assert (known_addresses(parent), seen_conditions(parent), seen_revision(parent)) == ({}, {}, None)


def test_one_bad_entry_hides_no_other() -> None:
    good = entry(ready=True, reason="ProbeSucceeded")
    parent = {"status": {"addresses": [7, {"ip": "10.0.0.2"}, good, good | {"ready": False}], "revision": 0}}
    assert seen_addresses(parent) == {"10.0.0.1": state(True, "ProbeSucceeded")}
    assert seen_revision(parent) == 0


def test_entries_come_as_they_were_read_and_of_duplicates_the_first_that_is_well_formed() -> None:
    one, other = entry(ready=True, reason="Splendid"), entry(ready=True, reason="ProbeSucceeded")
    assert seen_entries({"status": {"addresses": [one]}}) == {"10.0.0.1": one}
    assert seen_entries({"status": {"addresses": [one, 7, {"ip": []}, other, entry()]}}) == {"10.0.0.1": other}


def test_the_names_of_resolved_addresses() -> None:
    named = entry(ready=True, reason="ProbeSucceeded") | {"hostname": "db.io"}
    addresses = [7, named | {"ip": "10.0.0.2", "hostname": 7}, entry() | {"ip": "10.0.0.3"}, named]
    assert seen_names({"status": {"addresses": addresses}}) == {"10.0.0.1": "db.io"}
    assert seen_names({"status": {"addresses": [entry(), None]}}) == {}
    assert seen_names({}) == {}


@pytest.mark.parametrize(("status", "doubted"), [("True", True), ("False", False), ("Unknown", False)])
def test_whether_a_doubt_is_told(status: str, doubted: bool) -> None:
    said = {"reason": "NobodyAnswers", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    other, told = {"type": "Ready", "status": "True"} | said, {"type": "ProberDegraded", "status": status} | said
    assert seen_doubt({"status": {"conditions": [other, told]}}) is doubted
    assert not seen_doubt({"status": {"conditions": [other]}})
    assert not seen_doubt({})

from typing import Any

import pytest

from external_service.kind import Reason
from external_service.v1alpha1 import AddressStatus
from probe_sidecar.status.stored import StoredStatus

T0 = "2026-01-01T00:00:00Z"


def entry(**fields: Any) -> dict[str, Any]:
    return {"ip": "10.0.0.1", "message": "HTTP 200", "lastTransitionTime": T0} | fields


def state(ready: bool, reason: Reason, message: str = "HTTP 200") -> AddressStatus:
    return AddressStatus(ip="10.0.0.1", ready=ready, reason=reason, message=message, lastTransitionTime=T0)


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
            entry(ready=True, reason="Pending"), state(True, "Pending"), id="ready while its new probe has no result"
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
        pytest.param(entry(ready=False, reason="Disabled"), None, id="a drained address without a result is new"),
        pytest.param(entry(ready=True, reason="Disabled", serving=True), None, id="drained and ready contradict"),
        pytest.param(entry(ready=True, reason="ProbeFailed"), None, id="failed and ready contradict"),
        pytest.param(entry(ready=False, reason="ProbeSucceeded"), None, id="succeeded and not ready contradict"),
        pytest.param(
            entry(ready=True, reason="ProbeSucceeded", serving=False), None, id="serving without being drained"
        ),
        pytest.param(entry(ready="yes", reason="ProbeSucceeded"), None, id="ready is a text"),
        pytest.param(entry(ready=1, reason="ProbeSucceeded"), None, id="ready is a number"),
        pytest.param(entry(ready=True, reason="Splendid"), None, id="an unknown reason"),
        pytest.param(
            entry(ready=True, reason="ProbeSucceeded", lastTransitionTime="yesterday"), None, id="a time that is none"
        ),
        pytest.param({"ip": "10.0.0.1"}, None, id="fields missing"),
        pytest.param("10.0.0.1", None, id="a text for an entry"),
        pytest.param(None, None, id="null for an entry"),
    ],
)
def test_stored_results_are_read(seen: Any, expected: AddressStatus | None) -> None:
    known = StoredStatus.read({"status": {"addresses": [seen]}}).probed()
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
def test_malformed_status_is_empty(parent: dict[str, Any]) -> None:
    stored = StoredStatus.read(parent)
    assert (stored.probed(), stored.addresses, stored.conditions, stored.revision) == ({}, {}, {}, None)


def test_malformed_entry_affects_no_other() -> None:
    good = entry(ready=True, reason="ProbeSucceeded")
    parent = {"status": {"addresses": [7, {"ip": "10.0.0.2"}, good, good | {"ready": False}], "revision": 0}}
    stored = StoredStatus.read(parent)
    assert stored.addresses == {"10.0.0.1": state(True, "ProbeSucceeded")}
    assert stored.revision == 0


def test_hostnames_of_resolved_addresses_are_read() -> None:
    named = entry(ready=True, reason="ProbeSucceeded") | {"hostname": "db.io"}
    addresses = [7, named | {"ip": "10.0.0.2", "hostname": 7}, entry() | {"ip": "10.0.0.3"}, named]
    assert StoredStatus.read({"status": {"addresses": addresses}}).hostnames == {"10.0.0.1": "db.io"}
    assert StoredStatus.read({"status": {"addresses": [entry(), None]}}).hostnames == {}
    assert StoredStatus.read({}).hostnames == {}


@pytest.mark.parametrize(("status", "suspected"), [("True", True), ("False", False), ("Unknown", False)])
def test_suspected_outage_is_read_from_its_condition(status: str, suspected: bool) -> None:
    said = {"reason": "NoResponse", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    other, told = {"type": "Ready", "status": "True"} | said, {"type": "SuspectedOutage", "status": status} | said
    assert StoredStatus.read({"status": {"conditions": [other, told]}}).suspected_outage is suspected
    assert not StoredStatus.read({"status": {"conditions": [other]}}).suspected_outage
    assert not StoredStatus.read({}).suspected_outage

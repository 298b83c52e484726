from typing import Any

import pytest

from external_service.kind import NOT_PROBED, Reason
from external_service.v1alpha1 import AddressStatus
from probe_sidecar.status.stored import StoredStatus
from tests.cases import cases

T0 = "2026-01-01T00:00:00Z"


def entry(**fields: Any) -> dict[str, Any]:
    return {"ip": "10.0.0.1", "message": "HTTP 200", "lastTransitionTime": T0} | fields


def state(ready: bool, reason: Reason, message: str = "HTTP 200") -> AddressStatus:
    return AddressStatus(ip="10.0.0.1", ready=ready, reason=reason, message=message, lastTransitionTime=T0)


@cases(
    "seen expected",
    ("a ready address stays ready", entry(ready=True, reason="ProbeSucceeded"), state(True, "ProbeSucceeded")),
    ("a failed address stays failed", entry(ready=False, reason="ProbeFailed"), state(False, "ProbeFailed")),
    ("an unprobed address stays ready", entry(ready=True, reason="NoProbe"), state(True, "Pending", NOT_PROBED)),
    ("ready while its new probe has no result", entry(ready=True, reason="Pending"), state(True, "Pending")),
    ("a pending address is new", entry(ready=False, reason="Pending"), None),
    ("a denied address was never probed", entry(ready=False, reason="Denied"), None),
    (
        "a drained healthy address is known as healthy",
        entry(ready=False, reason="Disabled", serving=True),
        state(True, "ProbeSucceeded"),
    ),
    (
        "a drained dead address is known as dead",
        entry(ready=False, reason="Disabled", serving=False),
        state(False, "ProbeFailed"),
    ),
    ("a drained address without a result is new", entry(ready=False, reason="Disabled"), None),
    ("drained and ready contradict", entry(ready=True, reason="Disabled", serving=True), None),
    ("failed and ready contradict", entry(ready=True, reason="ProbeFailed"), None),
    ("succeeded and not ready contradict", entry(ready=False, reason="ProbeSucceeded"), None),
    ("serving without being drained", entry(ready=True, reason="ProbeSucceeded", serving=False), None),
    ("ready is a text", entry(ready="yes", reason="ProbeSucceeded"), None),
    ("a time that is none", entry(ready=True, reason="ProbeSucceeded", lastTransitionTime="yesterday"), None),
    ("a text for an entry", "10.0.0.1", None),
)
def test_stored_results_are_read(seen: Any, expected: AddressStatus | None) -> None:
    known = StoredStatus.read({"status": {"addresses": [seen]}}).probed()
    assert known == ({} if expected is None else {"10.0.0.1": expected})


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

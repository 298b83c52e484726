from typing import Any

from external_service.kind import MAX_SUMMARY, NOT_PROBED, Reason
from external_service.v1alpha1 import AddressStatus, ChildProblem, ExternalServiceSpec
from probe_sidecar.status.conditions import Finding, Problems, ReferenceProblem
from probe_sidecar.status.summary import hosts_text, invalid, ips_text, missing_children, summary
from tests.cases import cases

A, B, C, D, E = (f"10.0.0.{last}" for last in range(1, 6))


def address(ready: bool, serving: bool | None, reason: Reason, message: str) -> AddressStatus:
    return AddressStatus(
        ip=A, ready=ready, serving=serving, reason=reason, message=message, lastTransitionTime="2026-01-01T00:00:00Z"
    )


UP = address(True, None, "ProbeSucceeded", "HTTP 200")
DOWN = address(False, None, "ProbeFailed", "HTTP 500")
PENDING = address(False, None, "Pending", "new")
KEPT = address(True, None, "Pending", "new")
DENIED = address(False, None, "Denied", "because")
DRAINED = address(False, True, "Disabled", "HTTP 200")
NO_PROBE = address(True, None, "NoProbe", "because")

NOT_FOUND = Finding("Resolved", False, "NameNotFound", "db.io: gone; and more")
RESOLVED = Finding("Resolved", True, "Resolved", "because")
NO_CA = ReferenceProblem("CAUnavailable", "CA shop/corp-ca", "not found", "because")


def spec(**fields: Any) -> ExternalServiceSpec:
    return ExternalServiceSpec.model_validate({"port": 80, "readinessProbe": {"tcpSocket": {"port": 80}}} | fields)


def child(kind: str, reason: str = "Absent") -> ChildProblem:
    return ChildProblem.model_validate({"kind": kind, "name": "web", "problem": "see docs", "reason": reason})


BOTH_GONE = [child("Ingress"), child("Service")]
LONG = address(False, None, "ProbeFailed", "\x1b[31m" + "x" * 200)


@cases(
    "addresses facts text",
    ("all ready", {A: UP, B: UP}, {}, "OK"),
    ("no probe", {A: NO_PROBE}, {"spec": spec(readinessProbe=None)}, "OK"),
    ("a new probe on a ready address", {A: KEPT}, {}, "OK"),
    ("one not ready", {A: UP, B: DOWN}, {}, "10.0.0.2: HTTP 500"),
    ("several not ready", {A: UP, B: DOWN, C: DOWN, D: UP, E: UP}, {}, "2 of 5 not ready"),
    ("not ready and pending", {A: DOWN, B: PENDING}, {}, "2 of 2 not ready"),
    ("one pending", {A: PENDING}, {}, "10.0.0.1: new"),
    ("pending", {A: PENDING, B: PENDING, C: UP}, {}, f"2 of 3 {NOT_PROBED}"),
    ("failing open", {A: DOWN, B: DOWN, C: DOWN}, {"failing_open": True}, "failing open: 0 of 3 healthy"),
    ("one denied", {A: DENIED, B: UP}, {}, "denied: 10.0.0.1"),
    ("all denied", {A: DENIED, B: DENIED, C: DENIED}, {}, "denied: 10.0.0.1 +2"),
    ("denied and not ready", {A: DENIED, B: DOWN}, {}, "2 of 2 not ready"),
    ("no addresses", {}, {}, "no addresses"),
    ("before the first lookup", {}, {"spec": spec(hostnames=["db.io"])}, "hostnames not resolved yet"),
    ("not resolved", {}, {"spec": spec(hostnames=["db.io"]), "resolution": NOT_FOUND}, "db.io: gone"),
    ("one hostname not resolved", {A: UP}, {"resolution": NOT_FOUND}, "db.io: gone"),
    ("not ready and not resolved", {A: DOWN, B: UP}, {"resolution": NOT_FOUND}, "10.0.0.1: HTTP 500"),
    ("resolved", {A: UP}, {"resolution": RESOLVED}, "OK"),
    ("all drained", {A: DRAINED}, {"spec": spec(disabledIPs=[A])}, "all addresses are drained"),
    ("one drained", {A: DRAINED, B: UP}, {"spec": spec(disabledIPs=[A])}, "OK, 1 drained"),
    ("drained, not ready", {A: DRAINED, B: DOWN}, {"spec": spec(disabledIPs=[A])}, "10.0.0.2: HTTP 500"),
    ("no CA", {A: PENDING}, {"reference": NO_CA}, "CA shop/corp-ca not found"),
    ("outage", {A: UP}, {"outage": "no response"}, "suspected outage: no probed address responds"),
    ("outage, no probe", {A: NO_PROBE}, {"spec": spec(readinessProbe=None), "outage": "no response"}, "OK"),
    ("probes delayed", {A: UP}, {"delay": "NoPlaceLeft"}, "probes delayed"),
    ("prober fault", {A: UP}, {"delay": "ProberFault"}, "probes delayed: prober fault"),
    ("not ready and delayed", {A: DOWN}, {"delay": "NoPlaceLeft"}, "10.0.0.1: HTTP 500"),
    ("Service", {A: DOWN}, {"children": [child("Service")]}, "Service name is taken"),
    ("EndpointSlice", {A: UP}, {"children": [child("EndpointSlice")]}, "EndpointSlice name is taken"),
    ("Service edited", {A: UP}, {"children": [child("Service", "Edited")]}, "Service was edited"),
    ("not listed", {A: UP}, {"children": [child("Endpoints", "NotListed")]}, "Endpoints is not in childResources"),
    ("Ingress", {A: UP}, {"children": [child("Ingress")]}, "Ingress is missing"),
    ("Ingress and not ready", {A: DOWN}, {"children": [child("Ingress")]}, "10.0.0.1: HTTP 500"),
    ("Service first", {A: UP}, {"children": BOTH_GONE, "reference": NO_CA}, "Service name is taken"),
    ("a long message with control characters", {A: LONG}, {}, "10.0.0.1:  [31m" + "x" * 81 + " ..."),
)
def test_summary_texts(addresses: dict[str, AddressStatus], facts: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"spec": spec(), "failing_open": False} | facts
    wish, failing_open = given.pop("spec"), given.pop("failing_open")
    told = summary(wish, addresses, Problems(**given), given.get("resolution"), failing_open=failing_open)
    assert told == text
    assert len(told) <= MAX_SUMMARY


def test_invalid_spec_summary() -> None:
    assert invalid("spec.port: write a number\nspec.ips: x") == "invalid: spec.port: write a number spec.ips: x"


@cases(
    "children text",
    ("none", [], ""),
    ("traffic flows without", [child("Ingress"), child("Service", "Edited")], ""),
    ("Endpoints are published instead", [child("EndpointSlice", "NotListed")], ""),
    ("Service not listed", [child("Service", "NotListed")], "Service is not in childResources"),
    (
        "several",
        [child("Service"), child("EndpointSlice"), child("EndpointSlice")],
        "Service name is taken, EndpointSlice name is taken",
    ),
)
def test_summary_of_missing_children(children: list[ChildProblem], text: str) -> None:
    assert missing_children(children) == text


@cases(
    "hosts text",
    ("none", [], ""),
    ("one", ["a.io"], "a.io"),
    ("one of them twice", ["a.io", "b.io", "a.io", "c.io"], "a.io +2"),
)
def test_hosts_text(hosts: list[str], text: str) -> None:
    assert hosts_text(spec(hosts=[{"host": host} for host in hosts])) == text


def test_ips_text() -> None:
    assert [ips_text(ips) for ips in ([], [A, B], [A, B, C], [A, B, C, D, E])] == [
        "",
        "10.0.0.1,10.0.0.2",
        "10.0.0.1,10.0.0.2,10.0.0.3",
        "10.0.0.1,10.0.0.2,10.0.0.3 +2",
    ]

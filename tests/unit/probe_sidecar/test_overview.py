"""`GET /overview`, from ExternalServices whose probes are given."""

import json
from base64 import b64decode
from typing import Any

from external_service.policy import AddressPolicy
from probe_sidecar.prober.targets import TRANSITIONS
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.service import Service
from probe_sidecar.status_pages import MOST_ADDRESSES, Snapshot, overview
from tests.cases import cases
from tests.unit.probe_sidecar.prober.rig import decoded
from tests.unit.probe_sidecar.prober.test_targets import ScriptedEngine
from tests.unit.probe_sidecar.services import NOW, Services

Object = dict[str, Any]

PROBE = {"tcpSocket": {"port": 80}, "failureThreshold": 2, "successThreshold": 1}
UP, DOWN = Outcome(Result.SUCCESS, "connected"), Outcome(Result.FAILURE, "connection refused")


def shop() -> Services:
    services = Services(ScriptedEngine())
    ips = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    services.apply("web", {"port": 80, "ips": ips, "readinessProbe": PROBE, "disabledIPs": ["10.0.0.3"]})
    services.apply("plain", {"port": 80, "ips": ["10.0.1.1"]}, {"summary": "OK"})
    services.apply("bad", {"port": 0})
    for ip in ips:
        services.finish(ip, UP, 0.01)
    services.finish("10.0.0.1", DOWN, 0.01)
    return services


def read(services: Services, at: str = NOW, **query: str) -> Object:
    each: list[Service] = list(services.services.values())
    made = overview(Snapshot(each, AddressPolicy(), at, 0.0, {"outage": {}}), query)
    return dict(json.loads("".join(made.body)))


def names(document: Object) -> list[str]:
    return [one["name"] for one in document["externalServices"]]


def test_overview_lists_external_services() -> None:
    document = read(shop())
    problem = document["externalServices"][0].pop("problem")
    assert problem.startswith("spec.port: ")
    transition = {"at": NOW, "namespace": "shop", "name": "web", "ready": True, "message": "connected"}
    assert document == {
        "time": NOW,
        "outage": {},
        "transitions": [{**transition, "ip": ip} for ip in ("10.0.0.1", "10.0.0.2", "10.0.0.3")],
        "externalServices": [
            line("bad", addresses=0),
            line("plain", summary="OK", addresses=1, ready=1, problem=""),
            line("web", addresses=3, drained=1, ready=2, failing=1, problem=""),
        ],
    }


def line(name: str, **given: Any) -> Object:
    counts = dict.fromkeys(("addresses", "drained", "ready", "notReady", "failing"), 0)
    return {"namespace": "shop", "name": name, "summary": "", **counts, "failingOpen": False, **given}


def test_addresses_are_shown_on_request() -> None:
    document = read(shop(), open="shop/web,shop/gone")
    plain, web = document["externalServices"][1:]
    assert "shown" not in plain
    assert [(one["ip"], one["ready"], one["reason"]) for one in web["shown"]] == [
        ("10.0.0.1", True, "ProbeSucceeded"),
        ("10.0.0.2", True, "ProbeSucceeded"),
        ("10.0.0.3", False, "Disabled"),
    ]
    kept = decoded(b64decode(web["shown"][0]["history"]))
    assert [result for result, _ in kept] == [Result.SUCCESS, Result.FAILURE]


@cases(
    "search found shown",
    ("name", "SHOP/W", ["web"], ["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    ("address", "10.0.0.2", ["web"], ["10.0.0.2"]),
    ("part of an address", "10.0.1", ["plain"], ["10.0.1.1"]),
    ("hostname", "db.io", ["web"], ["10.0.0.2"]),
    ("nothing", "nowhere", [], []),
)
def test_search_narrows_services_and_addresses(search: str, found: list[str], shown: list[str]) -> None:
    services = shop()
    services.services["web"].hostnames.addresses = {"10.0.0.2": "db.io"}
    document = read(services, search=search, open="*")
    assert names(document) == found
    assert [one["ip"] for service in document["externalServices"] for one in service["shown"]] == shown


def test_addresses_of_one_response_are_bounded() -> None:
    services = Services(ScriptedEngine())
    for name in ("a", "b"):
        ips = [f"10.1.{number // 250}.{number % 250 + 1}" for number in range(400)]
        services.apply(name, {"port": 80, "ips": ips, "readinessProbe": PROBE})
    document = read(services, open="*")
    assert [len(one["shown"]) for one in document["externalServices"]] == [400, MOST_ADDRESSES - 400]
    assert [one["addresses"] for one in document["externalServices"]] == [400, 400]


def test_transitions_are_bounded_and_of_the_last_day() -> None:
    services = shop()
    for _ in range(TRANSITIONS):
        for outcome in (DOWN, DOWN, UP):
            services.finish("10.0.0.2", outcome, 0.01)
    document = read(services)
    assert {one["ip"] for one in document["transitions"]} == {"10.0.0.2"}
    assert len(document["transitions"]) == TRANSITIONS
    assert (read(services, at="2026-01-02T00:00:00Z"))["transitions"] == document["transitions"]
    assert (read(services, at="2026-01-02T00:00:01Z"))["transitions"] == []

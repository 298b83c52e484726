"""One ExternalService at work: what it takes from the shared parts, and that it returns all of it."""

from typing import Any

import pytest

from external_service.admission import NO_BODY_CONTAINS, Features
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.service import Service
from probe_sidecar.status.conditions import ALLOWED
from tests.unit.probe_sidecar.prober.test_targets import ScriptedEngine
from tests.unit.probe_sidecar.services import Object, Services, raw_object

A, B = "10.0.100.10", "10.0.100.11"
TCP = {"tcpSocket": {"port": 80}, "failureThreshold": 1}
UP, DOWN = Outcome(Result.SUCCESS, "connected"), Outcome(Result.FAILURE, "connection refused")


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def services(engine: ScriptedEngine) -> Services:
    return Services(engine, hold=60)


def wanted(service: Service, status: Object | None = None, *, generation: int = 1) -> Object:
    """The wanted status of an object that is ours."""
    found = service.wanted(raw_object("web", {}, status, generation=generation))
    assert found is not None
    return found


async def test_closed_service_leaves_no_state_in_shared_parts(services: Services, engine: ScriptedEngine) -> None:
    probe = {"httpGet": {"port": 443, "scheme": "HTTPS", "tls": {"caSecret": {"name": "ca"}}}}
    verified = services.apply("verified", {"port": 443, "ips": [A], "readinessProbe": probe})
    named = services.apply("named", {"port": 80, "ips": [A, B], "hostnames": ["db.io"], "readinessProbe": TCP})
    named.delayed("NoPlaceLeft")
    services.prober.tick()
    assert (engine.started, [name for name, _ in services.names.entries]) == ([A, B], ["db.io"])
    assert verified.targets.get(A) is not None
    for name in ("verified", "named"):
        services.drop(name)
    assert (engine.running, [*services.names.entries]) == ({}, [])
    assert services.shared.references._held == {}
    publisher = services.publisher
    assert (len(publisher._ready), publisher._timers, publisher.pending_syncs._since) == (0, {}, {})
    services.loop.now += 3_600
    services.prober.tick()
    assert engine.started == [A, B]


async def test_unreadable_spec_stops_the_probes_and_keeps_the_status(services: Services) -> None:
    service = services.apply("web", {"port": 80, "ips": [A], "readinessProbe": TCP})
    services.finish(A, UP, 0.1)
    status = wanted(service)
    assert [entry["ready"] for entry in status["addresses"]] == [True]
    services.apply("web", {"port": "80", "ips": [A]}, status)
    rejected = wanted(service, status, generation=2)
    assert (rejected["addresses"], len(service.targets)) == (status["addresses"], 0)
    assert rejected["summary"].startswith("invalid: spec.port: ")
    services.apply("web", {"port": 80, "ips": [A], "readinessProbe": TCP}, status)
    assert service.targets.states[A].ready, "readiness comes back from the status (R6)"


async def test_newer_status_of_another_owner_holds_until_a_threshold(services: Services) -> None:
    service = services.apply("web", {"port": 80, "ips": [A], "readinessProbe": TCP})
    services.finish(A, UP, 0.1)
    status = wanted(service)
    theirs = status | {"addresses": [status["addresses"][0] | {"ready": False, "reason": "ProbeFailed"}]}
    service.superseded(raw_object("web", {}, theirs, generation=1))
    assert not service.targets.states[A].ready
    services.finish(A, UP, 0.1)
    assert service.targets.states[A].ready


async def test_disabled_body_contains_is_not_probed(engine: ScriptedEngine) -> None:
    services = Services(engine, hold=60, features=Features(body_contains=False))
    probe = {"httpGet": {"port": 80, "bodyContains": "OK"}}
    service = services.apply("web", {"port": 80, "ips": [A], "readinessProbe": probe})
    services.prober.tick()
    status = wanted(service)
    (accepted,) = (one for one in status["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == ("False", "InvalidSpec", NO_BODY_CONTAINS)
    assert engine.started == []


@pytest.mark.parametrize(
    ("seconds", "counted", "note"),
    [
        (60, 60.0, ""),
        (86_400, 60.0, "; readinessProbe.timeoutSeconds counts as 60 (ESO_LONGEST_TIMEOUT_SECONDS)"),
    ],
)
async def test_long_timeout_is_shortened_and_reported(
    services: Services, engine: ScriptedEngine, seconds: int, counted: float, note: str
) -> None:
    service = services.apply("web", {"port": 80, "ips": [A], "readinessProbe": {**TCP, "timeoutSeconds": seconds}})
    services.prober.tick()
    status, target = wanted(service), service.targets.get(A)
    assert target is not None
    assert target.prepared is not None
    assert target.prepared.timeout == counted
    accepted = next(one for one in status["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["message"]) == ("True", f"{ALLOWED}{note}")


@pytest.mark.parametrize(
    ("change", "reason"), [({"generation": 2}, "newer than the watch has shown"), ({"ours": False}, "not ours")]
)
async def test_status_is_not_written_for(services: Services, change: dict[str, Any], reason: str) -> None:
    service = services.apply("web", {"port": 80, "ips": [A]})
    services.ours = change.get("ours", True)
    assert service.wanted(raw_object("web", {}, generation=change.get("generation", 1))) is None, reason

"""Metrics of the sidecar, from counts of its own parts; no probe is sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from external_service.core import Probe, TCPSocketAction
from probe_sidecar.events import EventRecorder
from probe_sidecar.hostnames.cache import NameCache
from probe_sidecar.kube.client import KubeClient, Selection, connect
from probe_sidecar.kube.credentials import plain_url
from probe_sidecar.kube.reflector import Reflector
from probe_sidecar.metrics import Metrics
from probe_sidecar.prober.outage import Canary
from probe_sidecar.prober.prober import NO_PLACE
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.probes.message import CONNECTING, timed_out
from probe_sidecar.replicas import LeaseOptions, Replica
from tests.unit.probe_sidecar.services import RESOURCE, Services, no_dns

A, B = "10.0.100.10", "10.0.100.11"
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


class User:
    namespace = "shop"

    def answered(self) -> None:
        """Nothing depends on it here."""


class Rig:
    """The parts of a sidecar that has not been started."""

    def __init__(self, client: KubeClient) -> None:
        self.engine = ProbeEngine(asyncio.get_running_loop(), limit=7)
        canary = Canary(Probe(tcpSocket=TCPSocketAction(port=53)), "10.9.9.9", "10.9.9.9", 0.0)
        self.all = Services(self.engine, client=client, hold=60, canary=canary)
        self.publisher = self.all.publisher
        self.now = 100.0
        self.reflector = Reflector(client, Selection(RESOURCE), lambda *_: None, clock=lambda: self.now)
        self.events = EventRecorder(client, "prober-1")
        self.replica = Replica(client, LeaseOptions("a", "operator", "All"), lambda: None, clock=lambda: self.now)
        self.names = NameCache(no_dns, clock=lambda: self.now)
        user: Any = User()
        self.user = user
        self.names.want("db.example.com", user, hurry=True)
        self.names.entry("db.example.com").answered_at = 90.0
        self.metrics = Metrics(
            services=self.all.services.values(),
            clients=(client,),
            reflectors=(self.reflector,),
            prober=self.all.prober,
            engine=self.engine,
            publisher=self.publisher,
            events=self.events,
            replicas=self.replica,
            names=self.names,
        )

    def apply(self, name: str = "web", probe: dict[str, Any] | None = None, *ips: str, **more: Any) -> None:
        spec = {"port": 80, "ips": ips or [A, B], "readinessProbe": probe or {"tcpSocket": {"port": 80}}}
        self.all.apply(name, spec | more)

    def finish(self, ip: str, outcome: Outcome, seconds: float) -> None:
        """A probe of an address has ended."""
        self.all.finish(ip, outcome, seconds)

    def present_certificates(self, expires: float) -> None:
        """Every address that is probed by HTTPS has been seen with one."""
        self.apply("tls", {"httpGet": {"port": 443, "scheme": "HTTPS"}}, A)
        for service in self.metrics.services:
            for target in service.targets:
                prepared = service.targets.prepare(target)
                if prepared is not None and prepared.certificate is not None:
                    prepared.certificate.expires = expires

    def families(self) -> dict[str, Metric]:
        """Those of the written page."""
        found = text_string_to_metric_families("".join(self.metrics.exposition()))
        return {family.name: family for family in found if family.name.startswith("eso_")}

    def values(self, name: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Each sample's value by its label values, of those that carry `labels`."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.families().values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        }


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    client = connect(plain_url("http://127.0.0.1:1"))
    rig = Rig(client)
    yield rig
    rig.engine.close()
    await client.close()


UP = Outcome(Result.SUCCESS, "connected")
DOWN = Outcome(Result.FAILURE, "connection refused")
OURS = Outcome(Result.UNKNOWN, "too many open files")


async def test_addresses_come_one_by_one_and_may_leave_meanwhile(rig: Rig) -> None:
    rig.apply("web", None, *(f"10.0.0.{number + 1}" for number in range(9)))
    for piece in rig.metrics.exposition():
        if piece.startswith("eso_address_ready"):
            rig.apply()
        assert piece.count("eso_address_ready{") <= 1


async def test_labels_are_escaped_as_the_library_does(rig: Rig) -> None:
    name = 'say "hi"\\ and\nagain'
    rig.names.want(name, rig.user, hurry=True)
    rig.names.entry(name).answered_at = 90.0
    assert rig.values("eso_dns_answer_age_seconds").keys() == {("db.example.com",), (name,)}


async def test_probes_are_counted_by_external_service_kind_and_result(rig: Rig) -> None:
    rig.apply()
    for ip, outcome in ((A, UP), (A, DOWN), (B, DOWN), (B, OURS)):
        rig.finish(ip, outcome, 0.02)
    assert rig.values("eso_probe_total") == {
        ("shop", "web", "tcp", "successful"): 1,
        ("shop", "web", "tcp", "failed"): 2,
        ("shop", "web", "tcp", "unknown"): 1,
    }
    assert rig.values("eso_prober_faults_total") == {(): 1}


async def test_delayed_external_services_are_counted(rig: Rig) -> None:
    assert rig.values("eso_external_services_delayed") == {(): 0}
    rig.apply()
    for _ in range(2):
        rig.all.services["web"].delayed(NO_PLACE)
    assert rig.values("eso_external_services_delayed") == {(): 1}


async def test_durations_histogram_excludes_prober_faults(rig: Rig) -> None:
    rig.apply()
    for outcome, seconds in ((UP, 0.005), (DOWN, 0.3), (UP, 20.0), (OURS, 0.1)):
        rig.finish(A, outcome, seconds)
    bounds = ("0.005", "0.025", "0.1", "0.25", "0.5", "1.0", "2.5", "10.0", "+Inf")
    assert rig.values("eso_probe_duration_seconds_bucket") == {
        ("shop", "web", "tcp", bound): count for bound, count in zip(bounds, (1, 1, 1, 1, 2, 2, 2, 2, 3), strict=True)
    }
    assert rig.values("eso_probe_duration_seconds_sum")["shop", "web", "tcp"] == pytest.approx(20.305)
    assert rig.values("eso_probe_duration_seconds_count") == {("shop", "web", "tcp"): 3}


async def test_readiness_per_address_and_in_total(rig: Rig) -> None:
    rig.apply()
    rig.finish(B, UP, 0.1)
    assert rig.values("eso_address_ready") == {("shop", "web", A): 0, ("shop", "web", B): 1}
    assert rig.values("eso_addresses") == {("shop", "web"): 2}
    assert rig.values("eso_addresses_ready") == {("shop", "web"): 1}
    assert rig.values("eso_external_services") == {(): 1}


async def test_suspected_outage_is_a_metric(rig: Rig) -> None:
    silence = Outcome(Result.FAILURE, timed_out(1, CONNECTING), no_response=True)
    rig.apply(probe={"tcpSocket": {"port": 80}, "failureThreshold": 1})
    for target in rig.all.services["web"].targets:
        target.state = replace(target.state, ready=True, reason="ProbeSucceeded")
    rig.all.loop.now = 100.0
    rig.finish(A, silence, 1.0)
    rig.finish(B, silence, 1.0)
    gauges = ("eso_suspected_outage", "eso_pending_transitions", "eso_canary_responds")
    counters = ("eso_suspected_outages_total", "eso_suspected_outage_seconds_total")
    told = {name: rig.values(name)[()] for name in (*gauges, *counters)}
    assert told == dict(zip((*gauges, *counters), (0, 2, 0, 0, 0), strict=True))
    rig.all.outage.guard.elapse(102.0)
    rig.all.loop.now = 110.0
    told = {name: rig.values(name)[()] for name in (*gauges, *counters)}
    assert told == dict(zip((*gauges, *counters), (1, 2, 0, 1, 10), strict=True))


async def test_transitions_are_counted_by_direction(rig: Rig) -> None:
    rig.apply(probe={"tcpSocket": {"port": 80}, "failureThreshold": 1})
    for ip, outcome in ((A, UP), (A, DOWN), (A, UP), (B, DOWN)):
        rig.finish(ip, outcome, 0.1)
    assert rig.values("eso_address_transitions_total") == {
        ("shop", "web", "ready"): 2,
        ("shop", "web", "not_ready"): 1,
    }


async def test_address_metrics_can_be_disabled(rig: Rig) -> None:
    rig.apply()
    by_address = {"eso_address_ready", "eso_dns_answer_age_seconds", "eso_probe_ssl_earliest_cert_expiry"}
    names = rig.families().keys()
    rig.metrics = replace(rig.metrics, addresses=False)
    assert names - rig.families().keys() == by_address


async def test_certificate_expiry_series_for_tls_targets(rig: Rig) -> None:
    rig.apply("plain")
    rig.present_certificates(2_000_000_000.0)
    assert rig.values("eso_probe_ssl_earliest_cert_expiry") == {("shop", "tls", A): 2_000_000_000}


async def test_counters_survive_edits_of_the_same_probe_kind(rig: Rig) -> None:
    rig.apply()
    rig.finish(A, UP, 0.1)
    rig.apply("web", {"tcpSocket": {"port": 81}})
    assert rig.values("eso_probe_total", result="successful") == {("shop", "web", "tcp", "successful"): 1}
    rig.apply("web", {"grpc": {"port": 81}})
    assert rig.values("eso_probe_total", result="successful") == {("shop", "web", "grpc", "successful"): 0}


async def test_counts_of_the_parts_are_metrics(rig: Rig) -> None:
    client, other = rig.metrics.clients[0], connect(plain_url("http://127.0.0.1:1"))
    rig.metrics = replace(rig.metrics, clients=(client, other))
    client.requests.update({("PATCH", 200): 3, ("GET", 0): 1})
    other.requests["PATCH", 200] += 2
    rig.reflector.watches = 2
    writes, events = rig.publisher.counters, rig.events.counters
    writes.writes, writes.conflicts, writes.errors, writes.vanished, writes.reasserts = 5, 4, 3, 2, 1
    events.written, events.dropped, events.failed = 3, 2, 1
    rig.replica.renewals, rig.replica.failures = 5, 2
    rig.names.lookups["nxdomain"] += 2
    rig.names.entry("db.example.com").last = "nxdomain"
    rig.now += 7
    counted = {
        "eso_api_requests_total": {("none", "GET"): 1, ("200", "PATCH"): 5},
        "eso_watches_total": {(): 2},
        "eso_watch_silence_seconds": {(): 7},
        "eso_status_writes_total": {("ok",): 5, ("conflict",): 4, ("vanished",): 2, ("error",): 3},
        "eso_status_reasserts_total": {(): 1},
        "eso_events_total": {("written",): 3, ("dropped",): 2, ("failed",): 1},
        "eso_probes_in_flight": {(): 0},
        "eso_probes_waiting": {(): 0},
        "eso_probes_limit": {(): 7},
        "eso_working": {(): 0},
        "eso_replicas": {(): 0},
        "eso_lease_renewals_total": {("ok",): 5, ("failed",): 2},
        "eso_dns_lookups_total": {("ok",): 0, ("no_data",): 0, ("nxdomain",): 2, ("failed",): 0},
        "eso_dns_answer_age_seconds": {("db.example.com",): 17},
        "eso_dns_names": {(): 1},
        "eso_dns_names_failing": {(): 1},
    }
    assert {name: rig.values(name) for name in counted} == counted
    await other.close()


async def test_every_metric_is_documented(rig: Rig) -> None:
    rig.apply()
    document = DOCUMENT.read_text()
    names = {family.name + ("_total" if family.type == "counter" else "") for family in rig.families().values()}
    assert [name for name in sorted(names) if f"`{name}`" not in document] == []


async def test_documented_number_of_series_is_correct(rig: Rig) -> None:
    def series() -> int:
        return sum("name" in sample.labels for family in rig.families().values() for sample in family.samples)

    rig.apply()
    assert series() == 18 + 2
    assert "An ExternalService has 18 series" in DOCUMENT.read_text()


async def test_fail_open_series_only_with_min_ready(rig: Rig) -> None:
    rig.apply("closed")
    spec = {"port": 80, "ips": [A, B], "readinessProbe": {"tcpSocket": {"port": 80}, "failureThreshold": 1}}
    rig.all.apply("open", spec | {"minReady": "50%"})
    targets = {target.ip: target for target in rig.all.services["open"].targets}
    seen = []
    for ip, result in ((A, Result.SUCCESS), (B, Result.FAILURE), (A, Result.FAILURE), (B, Result.SUCCESS)):
        targets[ip].done(Outcome(result, "said"), 0.001)
        seen.append(rig.values("eso_fail_open"))
    assert seen == [{("shop", "open"): told} for told in (0, 0, 1, 0)]

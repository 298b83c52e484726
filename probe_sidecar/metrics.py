"""Metrics of the sidecar, computed at the scrape from counts that its parts keep (docs/metrics.md).

Series of an ExternalService end with it, or with its ownership; all others live as long as the process.
"""

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from probe_sidecar.events.recorder import EventRecorder
from probe_sidecar.exposition import Written, labels
from probe_sidecar.hostnames.answer import RESULTS
from probe_sidecar.hostnames.cache import NameCache
from probe_sidecar.kube.client import KubeClient
from probe_sidecar.kube.reflector import Reflector
from probe_sidecar.prober.counters import Durations, ProbeCounters
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.suspected_outage import SuspectedOutage
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.replicas.replica import Alone, Replica
from probe_sidecar.service import Service
from probe_sidecar.status.publisher import StatusPublisher
from runtime.logs import DROPPED_HELP, dropped_lines
from runtime.version import VERSION

T = TypeVar("T")

OF_SERVICE = ("namespace", "name")

PIECE: Final = 100
"""ExternalServices of a family that are counted in one go: with ten addresses each, about a millisecond."""


@dataclass(frozen=True, slots=True)
class MetricSources:
    """The sources of the sidecar that count. `services` is the live collection of what it works for."""

    services: Collection[Service]
    clients: Sequence[KubeClient]
    reflectors: Sequence[Reflector]
    prober: Prober
    engine: ProbeEngine
    publisher: StatusPublisher
    events: EventRecorder | None
    replicas: Alone | Replica
    names: NameCache


def registry(sources: MetricSources, *, addresses: bool) -> CollectorRegistry:
    """All metrics of the process. `addresses` off leaves out the one that has a series for each address."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    made.register(_Sidecar(sources, addresses=addresses))
    return made


class _Sidecar(Collector):
    def __init__(self, sources: MetricSources, *, addresses: bool) -> None:
        self._sources = sources
        self._addresses = addresses

    def collect(self) -> Iterator[Metric]:
        """One family after the other, the long ones in pieces, to be written out bit by bit."""
        services = [service for service in self._sources.services if service.spec is not None]
        yield _build()
        yield CounterMetricFamily("eso_log_lines_dropped", DROPPED_HELP, dropped_lines())
        yield from _of_probes(services)
        yield from _of_services(services)
        yield _of_fail_open(services)
        if self._addresses:
            yield from _of_addresses(services)
        yield from _of_schedule(self._sources.prober)
        yield from _of_outages(self._sources.prober.outage)
        yield from _of_engine(self._sources.engine, self._sources.prober)
        yield GaugeMetricFamily(
            "eso_external_services_delayed",
            "ExternalServices that are probed less often than periodSeconds because of the prober.",
            sum(bool(service.delay.text) for service in services),
        )
        yield from _of_status(self._sources.publisher)
        if self._sources.events is not None:
            yield _of_events(self._sources.events)
        yield from _of_replicas(self._sources.replicas)
        yield from _of_hostnames(self._sources.names, each=self._addresses)
        yield from _of_api(self._sources.clients, self._sources.reflectors)


def _build() -> Metric:
    family = GaugeMetricFamily(
        "eso_build_info", "Version of the process; always 1.", labels=("component", "version", "python")
    )
    family.add_metric(("sidecar", VERSION, platform.python_version()), 1)
    return family


def _of_probes(services: Iterable[Service]) -> Iterator[Metric]:
    counted = [
        (service.namespace, service.name, service.targets.counters)
        for service in services
        if service.targets.counters is not None
    ]
    yield from map(_results, _pieces(counted))
    yield from map(_durations, _pieces(counted))
    yield from map(_transitions, _pieces(counted))


def _results(counted: Iterable[tuple[str, str, ProbeCounters]]) -> Metric:
    def lines() -> Iterator[str]:
        for namespace, name, counters in counted:
            whose = labels(namespace=namespace, name=name, probe_type=counters.probe_type)
            yield f'eso_probe_total{{{whose},result="successful"}} {counters.successful}\n'
            yield f'eso_probe_total{{{whose},result="failed"}} {counters.failed}\n'
            yield f'eso_probe_total{{{whose},result="unknown"}} {counters.unknown}\n'

    return Written(
        "eso_probe",
        "Probes of an ExternalService's addresses by result: successful, failed, or unknown (a fault of the prober).",
        "counter",
        lines(),
    )


def _durations(counted: Iterable[tuple[str, str, ProbeCounters]]) -> Metric:
    name_of = "eso_probe_duration_seconds"

    def lines() -> Iterator[str]:
        for namespace, name, counters in counted:
            whose, durations = (
                labels(namespace=namespace, name=name, probe_type=counters.probe_type),
                counters.durations,
            )
            for bound, count in _buckets(durations):
                yield f'{name_of}_bucket{{{whose},le="{bound}"}} {count}\n'
            yield f"{name_of}_count{{{whose}}} {sum(durations.counts)}\n"
            yield f"{name_of}_sum{{{whose}}} {durations.total}\n"

    return Written(name_of, "How long probes took, the failed ones too.", "histogram", lines())


def _transitions(counted: Iterable[tuple[str, str, ProbeCounters]]) -> Metric:
    family = CounterMetricFamily(
        "eso_address_transitions",
        "How often an address of an ExternalService became ready or not ready.",
        labels=(*OF_SERVICE, "to"),
    )
    for namespace, name, counters in counted:
        family.add_metric((namespace, name, "ready"), counters.became_ready)
        family.add_metric((namespace, name, "not_ready"), counters.became_not_ready)
    return family


def _of_services(services: Sequence[Service]) -> Iterator[Metric]:
    yield GaugeMetricFamily("eso_external_services", "ExternalServices that this process probes.", len(services))
    probed = GaugeMetricFamily("eso_addresses", "Addresses of an ExternalService that are probed.", labels=OF_SERVICE)
    ready = GaugeMetricFamily("eso_addresses_ready", "Probed addresses that are ready.", labels=OF_SERVICE)
    for service in services:
        if service.targets.counters is not None:
            labels = (service.namespace, service.name)
            probed.add_metric(labels, len(service.targets))
            ready.add_metric(labels, sum(target.state.ready for target in service.targets))
    yield probed
    yield ready


def _of_fail_open(services: Iterable[Service]) -> Metric:
    family = GaugeMetricFamily(
        "eso_fail_open",
        "Whether all addresses are published as ready because fewer than spec.minReady are (1) or not (0).",
        labels=OF_SERVICE,
    )
    for service in services:
        if service.targets.counters is not None and service.spec is not None and service.spec.minReady != 0:
            family.add_metric((service.namespace, service.name), service.failing_open)
    return family


def _of_addresses(services: Iterable[Service]) -> Iterator[Metric]:
    yield from map(_readiness, _pieces(services))
    yield from map(_expiry, _pieces(services))


def _readiness(services: Iterable[Service]) -> Metric:
    def lines() -> Iterator[str]:
        for service in services:
            whose = labels(namespace=service.namespace, name=service.name)
            for target in service.targets:
                yield f'eso_address_ready{{{whose},address="{target.ip}"}} {target.state.ready:d}\n'

    return Written("eso_address_ready", "Whether a probed address is ready (1) or not (0).", "gauge", lines())


def _expiry(services: Iterable[Service]) -> Metric:
    name_of = "eso_probe_ssl_earliest_cert_expiry"

    def lines() -> Iterator[str]:
        for service in services:
            whose = labels(namespace=service.namespace, name=service.name)
            for target in service.targets:
                certificate = target.prepared.certificate if target.prepared is not None else None
                if certificate is not None and certificate.expires is not None:
                    yield f'{name_of}{{{whose},address="{target.ip}"}} {certificate.expires:.0f}\n'

    return Written(name_of, "When the certificate of a probed address expires, in Unix seconds.", "gauge", lines())


def _pieces(things: Iterable[T]) -> Iterator[list[T]]:
    """A hundred at a time; one empty piece of nothing, for a family without series still says its name."""
    left = iter(things)
    yield list(islice(left, PIECE))
    while piece := list(islice(left, PIECE)):
        yield piece


def _of_schedule(prober: Prober) -> Iterator[Metric]:
    lateness = prober.stats.lateness
    yield HistogramMetricFamily(
        "eso_schedule_lateness_seconds",
        "How late probes were started.",
        buckets=_buckets(lateness),
        sum_value=lateness.total,
    )
    yield CounterMetricFamily(
        "eso_schedule_collapsed_ticks",
        "Probes skipped because the previous one was still running.",
        prober.stats.collapsed_ticks,
    )


def _of_outages(outage: SuspectedOutage) -> Iterator[Metric]:
    guard, canary = outage.guard, outage.canary
    yield GaugeMetricFamily(
        "eso_suspected_outage",
        "Whether no probed address responds, so that the prober's own network may be down (1), or not (0).",
        outage.suspected,
    )
    yield CounterMetricFamily("eso_suspected_outages", "Suspected outages of the prober's own network.", guard.outages)
    yield CounterMetricFamily(
        "eso_suspected_outage_seconds", "Time in which an outage was suspected.", outage.seconds()
    )
    yield GaugeMetricFamily(
        "eso_pending_transitions",
        "Addresses that have met their failure threshold and are kept ready while an outage is suspected.",
        guard.pending,
    )
    if canary is not None:
        yield GaugeMetricFamily(
            "eso_canary_responds", "Whether ESO_CANARY responds (1) or not (0).", bool(canary.responds)
        )


def _of_engine(engine: ProbeEngine, prober: Prober) -> Iterator[Metric]:
    yield GaugeMetricFamily("eso_probes_in_flight", "Probes in flight.", engine.in_flight)
    yield GaugeMetricFamily("eso_probes_waiting", "Probes that wait because the limit is reached.", engine.waiting)
    yield CounterMetricFamily(
        "eso_probes_delayed", "Probes that had to wait because the limit was reached.", engine.delayed
    )
    yield GaugeMetricFamily("eso_probes_limit", "Most probes that can be in flight.", engine.limit)
    yield CounterMetricFamily(
        "eso_prober_faults", "Probes that failed in the prober itself; their results do not count.",
        prober.stats.unknown,
    )  # fmt: skip
    yield CounterMetricFamily(
        "eso_prober_away_seconds", "Time in which this process did not run while probes were in flight.",
        engine.away,
    )  # fmt: skip


def _of_status(publisher: StatusPublisher) -> Iterator[Metric]:
    counts = publisher.counters
    family = CounterMetricFamily(
        "eso_status_writes",
        "Writes of a status: ok, conflict (another client was faster), vanished (it was just deleted), error.",
        labels=("outcome",),
    )
    for outcome, count in (
        ("ok", counts.writes),
        ("conflict", counts.conflicts),
        ("vanished", counts.vanished),
        ("error", counts.errors),
    ):
        family.add_metric((outcome,), count)
    yield family
    yield CounterMetricFamily(
        "eso_status_reasserts",
        "Status writes that were repeated after another client had overwritten the status.",
        counts.reasserts,
    )


def _of_events(recorder: EventRecorder) -> Metric:
    counts = recorder.counters
    family = CounterMetricFamily(
        "eso_events",
        "Events: written, dropped (no room to wait), failed (the API server refused).",
        labels=("outcome",),
    )
    for outcome, count in (("written", counts.written), ("dropped", counts.dropped), ("failed", counts.failed)):
        family.add_metric((outcome,), count)
    return family


def _of_replicas(replicas: Alone | Replica) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "eso_working", "1: this replica may probe and publish. 0: its Lease could not be renewed.",
        replicas.problem is None,
    )  # fmt: skip
    yield GaugeMetricFamily("eso_replicas", "Replicas that share the work, as seen by this one.", replicas.replicas)
    family = CounterMetricFamily("eso_lease_renewals", "Renewals of the own Lease: ok, failed.", labels=("outcome",))
    family.add_metric(("ok",), replicas.renewals)
    family.add_metric(("failed",), replicas.failures)
    yield family


def _of_hostnames(names: NameCache, *, each: bool) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "eso_dns_lookups",
        "Lookups of a name, IPv4 and IPv6 together: ok, no_data (no addresses), nxdomain (no such name), failed.",
        labels=("result",),
    )
    for result in RESULTS:
        family.add_metric((result,), names.lookups[result])
    yield family
    yield GaugeMetricFamily("eso_dns_names", "Names that are resolved.", len(names.entries))
    yield GaugeMetricFamily(
        "eso_dns_names_failing",
        "Hostnames whose last lookup failed or found no such name.",
        names.failing,
    )
    if each:
        ages = GaugeMetricFamily(
            "eso_dns_answer_age_seconds", "Time since the last DNS response with addresses.", labels=("hostname",)
        )
        for name, age in names.ages():
            ages.add_metric((name,), age)
        yield ages


def _of_api(clients: Sequence[KubeClient], reflectors: Sequence[Reflector]) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "eso_api_requests",
        'Requests to the API server by method and status; "none": no response.',
        labels=("method", "code"),
    )
    for (method, status), count in sorted(sum((client.requests for client in clients), Counter()).items()):
        family.add_metric((method, str(status or "none")), count)
    yield family
    yield CounterMetricFamily("eso_lists", "LISTs of ExternalServices.", sum(one.lists for one in reflectors))
    yield CounterMetricFamily("eso_watches", "Watches that were started.", sum(one.watches for one in reflectors))
    yield CounterMetricFamily(
        "eso_watch_failures", "LISTs and watches that failed or were cut.", sum(one.failures for one in reflectors)
    )
    yield GaugeMetricFamily(
        "eso_watch_silence_seconds",
        "Time since the last data from the API server; an idle watch sends a bookmark every 60 s.",
        max((one.silence for one in reflectors), default=0.0),
    )
    yield GaugeMetricFamily(
        "eso_unreadable_objects",
        "ExternalServices that cannot be read and are left out; an Event and the log name each.",
        sum(len(one.unreadable) for one in reflectors),
    )


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    bounds = [*map(str, durations.bounds), "+Inf"]
    return list(zip(bounds, accumulate(durations.counts), strict=True))

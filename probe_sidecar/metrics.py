"""Metrics of the sidecar, computed at the scrape from counts that its parts keep (docs/metrics.md), and their text.

Series of an ExternalService end with it, or with its ownership; all others live as long as the process.
"""

import platform
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate

from prometheus_client import Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from probe_sidecar.events import EventRecorder
from probe_sidecar.hostnames.cache import RESULTS, NameCache
from probe_sidecar.kube.client import KubeClient
from probe_sidecar.kube.reflector import Reflector
from probe_sidecar.prober.counters import Durations, ProbeCounters
from probe_sidecar.prober.outage import SuspectedOutage
from probe_sidecar.prober.prober import Prober
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.replicas import Alone, Replica
from probe_sidecar.service import Service
from probe_sidecar.status.publisher import StatusPublisher
from runtime import VERSION
from runtime.logs import DROPPED_HELP, dropped_lines


@dataclass(frozen=True, slots=True)
class Metrics(Collector):
    """All metrics of the process, from the parts that count. `services` is the live collection of what it works for;
    `addresses` off leaves out the series of each address and hostname.
    """

    services: Collection[Service]
    clients: Sequence[KubeClient]
    reflectors: Sequence[Reflector]
    prober: Prober
    engine: ProbeEngine
    publisher: StatusPublisher
    events: EventRecorder | None
    replicas: Alone | Replica
    names: NameCache
    addresses: bool = True

    def exposition(self) -> Iterator[str]:
        """The page for a scrape in Prometheus' text format, piece by piece: ten thousand addresses must not keep the
        probes waiting.

        `generate_latest` writes what has few series. All others are lines at once, each far cheaper than a Sample.
        """
        yield generate_latest(self).decode()
        services = self._readable()
        for name, kind, text, lines in OF_SERVICES + (OF_ADDRESSES if self.addresses else ()):
            yield _head(name, kind, text)
            for service in services:
                if (counters := service.targets.counters) is None:
                    continue
                whose = _labels(namespace=service.namespace, name=service.name)
                for suffix, more, value in lines(service, counters):
                    yield f"{name}{suffix}{{{whose}{more}}} {value}\n"
        if self.addresses:
            name = "eso_dns_answer_age_seconds"
            yield _head(name, "gauge", "Time since the last DNS response with addresses.")
            for hostname, age in self.names.ages():
                yield f"{name}{{{_labels(hostname=hostname)}}} {age}\n"

    def collect(self) -> Iterator[Metric]:
        """The families without a series for each ExternalService, address or hostname."""
        services = self._readable()
        yield from ProcessCollector(registry=None).collect()
        build = GaugeMetricFamily(
            "eso_build_info", "Version of the process; always 1.", labels=("component", "version", "python")
        )
        build.add_metric(("sidecar", VERSION, platform.python_version()), 1)
        yield build
        yield CounterMetricFamily("eso_log_lines_dropped", DROPPED_HELP, dropped_lines())
        yield GaugeMetricFamily("eso_external_services", "ExternalServices that this process probes.", len(services))
        yield GaugeMetricFamily(
            "eso_external_services_delayed",
            "ExternalServices that are probed less often than periodSeconds because of the prober.",
            sum(bool(service.delay.text) for service in services),
        )
        yield from _of_probes(self.engine, self.prober)
        yield from _of_outages(self.prober.outage)
        yield from _of_publishing(self)
        yield from _of_hostnames(self.names)
        yield from _of_api(self.clients, self.reflectors)

    def _readable(self) -> list[Service]:
        return [one for one in self.services if one.spec is not None]


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _labels(**texts: str) -> str:
    """The labels of a line, without braces."""
    return ",".join([f'{name}="{_escaped(text)}"' for name, text in texts.items()])


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _labelled(
    family: type[CounterMetricFamily | GaugeMetricFamily], name: str, text: str, label: str, **values: float
) -> Metric:
    """A family with a series for each of `values`, by the value of its label."""
    made = family(name, text, labels=(label,))
    for label_value, value in values.items():
        made.add_metric((label_value,), value)
    return made


Line = tuple[str, str, float | str]
"""One line of a series: what follows the name of the family, the labels beside namespace and name, the value."""


def _results(_service: Service, counters: ProbeCounters) -> Iterator[Line]:
    probe_type = f',probe_type="{counters.probe_type}"'
    yield "", f'{probe_type},result="successful"', counters.successful
    yield "", f'{probe_type},result="failed"', counters.failed
    yield "", f'{probe_type},result="unknown"', counters.unknown


def _durations(_service: Service, counters: ProbeCounters) -> Iterator[Line]:
    probe_type, durations = f',probe_type="{counters.probe_type}"', counters.durations
    for bound, count in _buckets(durations):
        yield "_bucket", f'{probe_type},le="{bound}"', count
    yield "_count", probe_type, sum(durations.counts)
    yield "_sum", probe_type, durations.total


def _transitions(_service: Service, counters: ProbeCounters) -> Iterator[Line]:
    yield "", ',to="ready"', counters.became_ready
    yield "", ',to="not_ready"', counters.became_not_ready


def _probed(service: Service, _counters: ProbeCounters) -> Iterator[Line]:
    yield "", "", len(service.targets)


def _ready(service: Service, _counters: ProbeCounters) -> Iterator[Line]:
    yield "", "", sum(target.state.ready for target in service.targets)


def _fail_open(service: Service, _counters: ProbeCounters) -> Iterator[Line]:
    if service.spec is not None and service.spec.minReady != 0:
        yield "", "", int(service.failing_open)


def _readiness(service: Service, _counters: ProbeCounters) -> Iterator[Line]:
    for target in list(service.targets):
        yield "", f',address="{target.ip}"', int(target.state.ready)


def _expiry(service: Service, _counters: ProbeCounters) -> Iterator[Line]:
    for target in list(service.targets):
        certificate = target.prepared.certificate if target.prepared is not None else None
        if certificate is not None and certificate.expires is not None:
            yield "", f',address="{target.ip}"', f"{certificate.expires:.0f}"


OF_SERVICES = (
    (
        "eso_probe_total",
        "counter",
        "Probes of an ExternalService's addresses by result: successful, failed, or unknown (a fault of the prober).",
        _results,
    ),
    ("eso_probe_duration_seconds", "histogram", "How long probes took, the failed ones too.", _durations),
    (
        "eso_address_transitions_total",
        "counter",
        "How often an address of an ExternalService became ready or not ready.",
        _transitions,
    ),
    ("eso_addresses", "gauge", "Addresses of an ExternalService that are probed.", _probed),
    ("eso_addresses_ready", "gauge", "Probed addresses that are ready.", _ready),
    (
        "eso_fail_open",
        "gauge",
        "Whether all addresses are published as ready because fewer than spec.minReady are (1) or not (0).",
        _fail_open,
    ),
)
"""Families with series for each ExternalService: name, type, help, and lines of one that is probed."""

OF_ADDRESSES = (
    ("eso_address_ready", "gauge", "Whether a probed address is ready (1) or not (0).", _readiness),
    (
        "eso_probe_ssl_earliest_cert_expiry",
        "gauge",
        "When the certificate of a probed address expires, in Unix seconds.",
        _expiry,
    ),
)
"""The same with a series for each address. Addresses may leave while their lines are made."""


def _of_probes(engine: ProbeEngine, prober: Prober) -> Iterator[Metric]:
    lateness = prober.lateness
    yield HistogramMetricFamily(
        "eso_schedule_lateness_seconds", "How late probes were started.", _buckets(lateness), lateness.total
    )
    yield CounterMetricFamily(
        "eso_schedule_collapsed_ticks",
        "Probes skipped because the previous one was still running.",
        prober.collapsed_ticks,
    )
    yield GaugeMetricFamily("eso_probes_in_flight", "Probes in flight.", engine.in_flight)
    yield GaugeMetricFamily("eso_probes_waiting", "Probes that wait because the limit is reached.", engine.waiting)
    yield CounterMetricFamily(
        "eso_probes_delayed", "Probes that had to wait because the limit was reached.", engine.delayed
    )
    yield GaugeMetricFamily("eso_probes_limit", "Most probes that can be in flight.", engine.limit)
    yield CounterMetricFamily(
        "eso_prober_faults", "Probes that failed in the prober itself; their results do not count.",
        prober.faults,
    )  # fmt: skip
    yield CounterMetricFamily(
        "eso_prober_away_seconds", "Time in which this process did not run while probes were in flight.", engine.away
    )


def _of_outages(outage: SuspectedOutage) -> Iterator[Metric]:
    guard, canary = outage.guard, outage.canary
    yield GaugeMetricFamily(
        "eso_suspected_outage",
        "Whether no probed address responds, so that the prober's own network may be down (1), or not (0).",
        outage.guard.suspected,
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


def _of_publishing(sources: Metrics) -> Iterator[Metric]:
    counts, events, replicas = sources.publisher.counters, sources.events, sources.replicas
    yield _labelled(
        CounterMetricFamily,
        "eso_status_writes",
        "Writes of a status: ok, conflict (another client was faster), vanished (it was just deleted), error.",
        "outcome",
        ok=counts.writes,
        conflict=counts.conflicts,
        vanished=counts.vanished,
        error=counts.errors,
    )
    yield CounterMetricFamily(
        "eso_status_reasserts",
        "Status writes that were repeated after another client had overwritten the status.",
        counts.reasserts,
    )
    if events is not None:
        yield _labelled(
            CounterMetricFamily,
            "eso_events",
            "Events: written, dropped (no room to wait), failed (the API server refused).",
            "outcome",
            **asdict(events.counters),
        )
    yield GaugeMetricFamily(
        "eso_working",
        "1: this replica may probe and publish. 0: its Lease could not be renewed.",
        replicas.problem is None,
    )
    yield GaugeMetricFamily("eso_replicas", "Replicas that share the work, as seen by this one.", replicas.replicas)
    yield _labelled(
        CounterMetricFamily, "eso_lease_renewals", "Renewals of the own Lease: ok, failed.", "outcome",
        ok=replicas.renewals, failed=replicas.failures,
    )  # fmt: skip


def _of_hostnames(names: NameCache) -> Iterator[Metric]:
    yield _labelled(
        CounterMetricFamily,
        "eso_dns_lookups",
        "Lookups of a name, IPv4 and IPv6 together: ok, no_data (no addresses), nxdomain (no such name), failed.",
        "result",
        **{result: names.lookups[result] for result in RESULTS},
    )
    yield GaugeMetricFamily("eso_dns_names", "Names that are resolved.", len(names.entries))
    yield GaugeMetricFamily(
        "eso_dns_names_failing", "Hostnames whose last lookup failed or found no such name.", names.failing
    )


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

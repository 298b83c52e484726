"""Metrics of the sidecar, computed at the scrape from counts that its parts keep (docs/metrics.md), and their text.

Series of an ExternalService end with it, or with its ownership; all others live as long as the process.
"""

import platform
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, islice
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from probe_sidecar.events import EventRecorder
from probe_sidecar.hostnames.cache import RESULTS, NameCache
from probe_sidecar.kube.client import KubeClient
from probe_sidecar.kube.reflector import Reflector
from probe_sidecar.prober.counters import Durations
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.suspected_outage import SuspectedOutage
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.replicas import Alone, Replica
from probe_sidecar.service import Service
from probe_sidecar.status.publisher import StatusPublisher
from runtime.logs import DROPPED_HELP, dropped_lines
from runtime.version import VERSION

SLICE: Final = 500
"""Samples or lines that are made before the event loop has its turn: about a millisecond."""

_NAMES: Final = {"counter": ("_total", "counter"), "info": ("_info", "gauge"), "unknown": ("", "untyped")}
"""Suffix and type in the text format of OpenMetrics families that differ there."""


class Written(Metric):
    """A piece of a long family whose samples are lines already, each with its end: far cheaper than samples."""

    def __init__(self, name: str, documentation: str, kind: str, lines: Iterable[str]) -> None:
        super().__init__(name, documentation, kind)
        self.text = "".join(lines)


def labels(**texts: str) -> str:
    """The labels of a line, without braces."""
    return ",".join([f'{name}="{_escaped(text)}"' for name, text in texts.items()])


def exposition(families: Iterable[Metric]) -> Iterator[str]:
    """The page for a scrape in Prometheus' text format, a slice at a time: ten thousand addresses must not keep the
    probes waiting. `prometheus_client.generate_latest` says the same, slower and in one go.

    A family may come in several pieces, one after the other.
    """
    name = ""
    for family in families:
        if family.name != name:
            name = family.name
            yield _head(family)
        yield from _parts(family)


def _head(family: Metric) -> str:
    suffix, kind = _NAMES.get(family.type, ("", family.type))
    name = family.name + suffix
    text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _parts(family: Metric) -> Iterator[str]:
    if isinstance(family, Written):
        yield family.text
        return
    for start in range(0, len(family.samples), SLICE):
        yield "".join(map(_line, family.samples[start : start + SLICE]))


def _line(sample: Sample) -> str:
    value = repr(float(sample.value))  # Prometheus reads numbers as Go does: any such form will do
    if not sample.labels:
        return f"{sample.name} {value}\n"
    return f"{sample.name}{{{labels(**sample.labels)}}} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


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
        sources, services = self._sources, [one for one in self._sources.services if one.spec is not None]
        build = GaugeMetricFamily(
            "eso_build_info", "Version of the process; always 1.", labels=("component", "version", "python")
        )
        build.add_metric(("sidecar", VERSION, platform.python_version()), 1)
        yield build
        yield CounterMetricFamily("eso_log_lines_dropped", DROPPED_HELP, dropped_lines())
        yield GaugeMetricFamily("eso_external_services", "ExternalServices that this process probes.", len(services))
        for name, kind, text, lines in OF_SERVICES + (OF_ADDRESSES if self._addresses else ()):
            yield from _written(name, kind, text, lines, services)
        yield GaugeMetricFamily(
            "eso_external_services_delayed",
            "ExternalServices that are probed less often than periodSeconds because of the prober.",
            sum(bool(service.delay.text) for service in services),
        )
        yield from _of_probes(sources.engine, sources.prober)
        yield from _of_outages(sources.prober.outage)
        yield from _of_publishing(sources)
        yield from _of_hostnames(sources.names, each=self._addresses)
        yield from _of_api(sources.clients, sources.reflectors)


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


def _written(
    name: str, kind: str, text: str, lines: Callable[[Service], Iterator[Line]], services: Iterable[Service]
) -> Iterator[Metric]:
    """SLICE lines at a time; one empty piece of nothing, for a family without series still says its name."""
    left = (
        f"{name}{suffix}{{{labels(namespace=one.namespace, name=one.name)}{more}}} {value}\n"
        for one in services
        for suffix, more, value in lines(one)
    )
    while True:
        piece = list(islice(left, SLICE))
        yield Written(name, text, kind, piece)
        if len(piece) < SLICE:
            return


def _results(service: Service) -> Iterator[Line]:
    if (counters := service.targets.counters) is not None:
        probe_type = f',probe_type="{counters.probe_type}"'
        yield "_total", f'{probe_type},result="successful"', counters.successful
        yield "_total", f'{probe_type},result="failed"', counters.failed
        yield "_total", f'{probe_type},result="unknown"', counters.unknown


def _durations(service: Service) -> Iterator[Line]:
    if (counters := service.targets.counters) is not None:
        probe_type, durations = f',probe_type="{counters.probe_type}"', counters.durations
        for bound, count in _buckets(durations):
            yield "_bucket", f'{probe_type},le="{bound}"', count
        yield "_count", probe_type, sum(durations.counts)
        yield "_sum", probe_type, durations.total


def _transitions(service: Service) -> Iterator[Line]:
    if (counters := service.targets.counters) is not None:
        yield "_total", ',to="ready"', counters.became_ready
        yield "_total", ',to="not_ready"', counters.became_not_ready


def _probed(service: Service) -> Iterator[Line]:
    if service.targets.counters is not None:
        yield "", "", len(service.targets)


def _ready(service: Service) -> Iterator[Line]:
    if service.targets.counters is not None:
        yield "", "", sum(target.state.ready for target in service.targets)


def _fail_open(service: Service) -> Iterator[Line]:
    if service.targets.counters is not None and service.spec is not None and service.spec.minReady != 0:
        yield "", "", int(service.failing_open)


def _readiness(service: Service) -> Iterator[Line]:
    for target in list(service.targets):
        yield "", f',address="{target.ip}"', int(target.state.ready)


def _expiry(service: Service) -> Iterator[Line]:
    for target in list(service.targets):
        certificate = target.prepared.certificate if target.prepared is not None else None
        if certificate is not None and certificate.expires is not None:
            yield "", f',address="{target.ip}"', f"{certificate.expires:.0f}"


OF_SERVICES = (
    (
        "eso_probe",
        "counter",
        "Probes of an ExternalService's addresses by result: successful, failed, or unknown (a fault of the prober).",
        _results,
    ),
    ("eso_probe_duration_seconds", "histogram", "How long probes took, the failed ones too.", _durations),
    (
        "eso_address_transitions",
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
"""Families with series for each ExternalService: name, type, help, and lines of one ExternalService."""

OF_ADDRESSES = (
    ("eso_address_ready", "gauge", "Whether a probed address is ready (1) or not (0).", _readiness),
    (
        "eso_probe_ssl_earliest_cert_expiry",
        "gauge",
        "When the certificate of a probed address expires, in Unix seconds.",
        _expiry,
    ),
)
"""The same with a series for each address. Their lines are made bit by bit, and addresses may leave meanwhile."""


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


def _of_publishing(sources: MetricSources) -> Iterator[Metric]:
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


def _of_hostnames(names: NameCache, *, each: bool) -> Iterator[Metric]:
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
    if each:
        yield _labelled(
            GaugeMetricFamily,
            "eso_dns_answer_age_seconds",
            "Time since the last DNS response with addresses.",
            "hostname",
            **dict(names.ages()),
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

"""Metrics of the hook: number, duration and result of the syncs (docs/metrics.md)."""

import platform
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from runtime import VERSION
from runtime.logs import DROPPED_HELP, dropped_lines

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)

OUTCOMES: Final = ("ok", "refused", "unauthorized", "failed", "gone")
"""refused: responded 4xx with a text; failed: a bug, 500; gone: the client disconnected before the response."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, of no use to anyone here


class _DroppedLines(Collector):
    def collect(self) -> Iterable[Metric]:
        """The one series."""
        yield CounterMetricFamily("eso_log_lines_dropped", DROPPED_HELP, dropped_lines())


class SyncMetrics:
    """One set for each application, so that several in one process (tests) do not add up."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._seconds = Histogram(
            "eso_sync_duration_seconds",
            "Duration of sync requests, including their bodies.",
            ("outcome",),
            registry=self._registry,
            buckets=BOUNDS,
        )
        self._syncs = Counter(
            "eso_syncs",
            "Sync requests by outcome: ok, refused (4xx), unauthorized, failed (bug), gone (client disconnected).",
            ("outcome",),
            registry=self._registry,
        )
        self._of = cache(lambda outcome: (self._syncs.labels(outcome), self._seconds.labels(outcome)))
        for outcome in OUTCOMES:
            self._syncs.labels(outcome)  # there from the start, or a first failure would make no rate
        self._registry.register(_DroppedLines())
        build = Gauge(
            "eso_build_info",
            "Version of the process; always 1.",
            ("component", "version", "python"),
            registry=self._registry,
        )
        build.labels("hook", VERSION, platform.python_version()).set(1)

    def note(self, outcome: str, seconds: float) -> None:
        """Count one sync request; `outcome` is one of OUTCOMES."""
        count, duration = self._of(outcome)
        count.inc()
        duration.observe(seconds)

    def certificate(self, expiry: Callable[[], float]) -> None:
        """Show when the serving certificate expires (Unix time in seconds)."""
        gauge = Gauge(
            "eso_certificate_expiry_timestamp_seconds",
            "When the hook's certificate expires, as a Unix time in seconds.",
            registry=self._registry,
        )
        gauge.set_function(expiry)

    def text(self) -> bytes:
        """The page for a scrape."""
        return generate_latest(self._registry)

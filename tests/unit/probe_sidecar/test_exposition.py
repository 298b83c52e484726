"""The text equals the library's own, and the event loop runs between its pieces."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from probe_sidecar.metrics import SLICE, Written, exposition, labels


class Families(Collector):
    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self) -> tuple[Metric, ...]:
        return self.families


def written(families: Iterable[Metric]) -> str:
    return "".join(exposition(families))


def odd_families() -> tuple[Metric, ...]:
    counter = CounterMetricFamily("eso_things", 'Help with a \\ and\na second line and "quotes".', labels=("name",))
    for number, name in enumerate(('say "hi"', "back\\slash", "new\nline", "grün", "")):
        counter.add_metric((name,), number * 1e12)
    histogram = HistogramMetricFamily("eso_seconds", "Seconds.", labels=("namespace", "name"))
    histogram.add_metric(("b", "a"), [("0.1", 1), ("+Inf", 3)], 2.5)
    return counter, histogram, GaugeMetricFamily("eso_up", "Up.", 1), InfoMetricFamily("eso_made", "Made.", {"by": "x"})


def test_exposition_equals_the_librarys() -> None:
    families = odd_families()
    registry = CollectorRegistry()
    registry.register(Families(*families))
    theirs = list(text_string_to_metric_families(generate_latest(registry).decode()))
    ours = list(text_string_to_metric_families(written(families)))
    assert [(one.name, one.type, one.documentation, one.samples) for one in ours] == [
        (one.name, one.type, one.documentation, one.samples) for one in theirs
    ]
    assert len(ours) == 4


def test_family_in_pieces_is_one_family() -> None:
    pieces = [CounterMetricFamily("eso_things", "Things.", labels=("name",)) for _ in range(3)]
    for number, piece in enumerate(pieces[1:]):
        piece.add_metric((str(number),), number)
    assert written([*pieces, GaugeMetricFamily("eso_up", "Up.", 1)]) == (
        "# HELP eso_things_total Things.\n# TYPE eso_things_total counter\n"
        'eso_things_total{name="0"} 0.0\neso_things_total{name="1"} 1.0\n'
        "# HELP eso_up Up.\n# TYPE eso_up gauge\neso_up 1.0\n"
    )


def test_raw_lines_are_unchanged() -> None:
    whose = labels(name='say "hi"', path="a\\b")
    piece = Written(
        "eso_things", "Things.", "counter", (f"eso_things_total{{{whose}}} {number}\n" for number in (1, 2))
    )
    assert written([piece]) == (
        "# HELP eso_things_total Things.\n# TYPE eso_things_total counter\n"
        'eso_things_total{name="say \\"hi\\"",path="a\\\\b"} 1\neso_things_total{name="say \\"hi\\"",path="a\\\\b"} 2\n'
    )


def test_many_samples_come_in_pieces() -> None:
    family = GaugeMetricFamily("eso_up", "Up.", labels=("name",))
    for number in range(SLICE * 4):
        family.add_metric((str(number),), 1)
    assert max(piece.count("\n") for piece in exposition([family])) == SLICE
    assert written([family]).count("\n") == SLICE * 4 + 2

"""Metrics in Prometheus' text format, a slice at a time: ten thousand addresses must not keep the probes waiting.

`prometheus_client.generate_latest` says the same, slower and in one go. Imports no other package of the project.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.samples import Sample

SLICE: Final = 500
"""Samples written before the event loop has its turn: about a millisecond."""

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
    """The page for a scrape, bit by bit. A family may come in several pieces, one after the other."""
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

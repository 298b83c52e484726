"""Compares the published state of each address with the state of its backend. Pure; times are seconds of one clock.

Each address is in one ExternalService, once.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import NamedTuple


class Span(NamedTuple):
    """From `begin` to `end`, which may be `inf`."""

    begin: float
    end: float


class Turn(NamedTuple):
    """From `at` on probes of a backend succeed, or fail."""

    at: float
    healthy: bool


class Shown(NamedTuple):
    """From `at` on an address is published as ready or not ready, or is not published (None)."""

    at: float
    ready: bool | None


class Fault(NamedTuple):
    """A violation: the address, the time, and a description."""

    at: float
    ip: str
    what: str


class Wrong(NamedTuple):
    """A period of a wrong publication. `undisturbed`: without the time of injected faults."""

    ip: str
    begin: float
    end: float
    undisturbed: float


@dataclass(slots=True)
class Record:
    """The record, by address, each in order of time.

    `wanted`: when a spec names the address. `outages`: when results could not be published (API server, hook, composite
    controller). `absences`: when the owner could not probe, until another must have taken over.
    """

    truth: dict[str, list[Turn]] = field(default_factory=dict)
    wanted: dict[str, Span] = field(default_factory=dict)
    shown: dict[str, list[Shown]] = field(default_factory=dict)
    outages: list[Span] = field(default_factory=list)
    absences: list[Span] = field(default_factory=list)


def faults(record: Record, evidence: float) -> list[Fault]:
    """Every change of a publication without a cause in the last `evidence` seconds without an outage.

    An address that becomes not ready (ready) although its backend was healthy (or not) during that time, or that is
    removed although the spec named it.
    """
    outages = merged(record.outages)
    found = []
    for ip, shown in record.shown.items():
        for before, after in pairwise([Shown(-inf, None), *shown]):
            since = undisturbed_before(after.at, evidence, outages)
            what = _complaint(record, ip, before.ready, after, since)
            if what:
                found.append(Fault(after.at, ip, what))
    return sorted(found)


def lost(record: Record, at: float) -> list[Fault]:
    """The addresses whose publication at that moment is wrong."""
    found = []
    for ip in record.wanted.keys() | record.shown.keys():
        span = record.wanted.get(ip, Span(inf, inf))
        true = healthy(record, ip, at) if span.begin <= at < span.end else None
        shown = _published(record, ip, at)
        if shown is not true:
            found.append(Fault(at, ip, f"published as {_words(shown)} where {_words(true)} is true"))
    return sorted(found)


def wrongs(record: Record, until: float) -> list[Wrong]:
    """Every period in which the publication of an address was wrong, while a spec named it."""
    disturbed = merged([*record.outages, *record.absences])
    found = []
    for ip, shown in record.shown.items():
        span = record.wanted.get(ip)
        if span is None:
            continue
        for begin, end in _wrong_spans(record, ip, shown, min(span.end, until)):
            found.append(Wrong(ip, begin, end, undisturbed(begin, end, disturbed)))
    return sorted(found, key=lambda one: one.begin)


def healthy(record: Record, ip: str, at: float) -> bool:
    """The state of its backend at a moment."""
    turns = record.truth[ip]
    place = bisect_right(turns, at, key=lambda turn: turn.at)
    return turns[max(place - 1, 0)].healthy


def constantly(record: Record, ip: str, begin: float, end: float) -> bool | None:
    """The state of its backend between two moments; None if it changed."""
    state = healthy(record, ip, begin)
    turned = any(turn.healthy is not state for turn in record.truth[ip] if begin < turn.at <= end)
    return None if turned else state


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that do not overlap, in order."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def undisturbed(begin: float, end: float, disturbed: Sequence[Span]) -> float:
    """The seconds between two moments that lie in none of the merged spans."""
    return (end - begin) - sum(max(0.0, min(end, span.end) - max(begin, span.begin)) for span in disturbed)


def undisturbed_before(at: float, seconds: float, disturbed: Sequence[Span]) -> float:
    """The latest moment since which `seconds` had passed at `at` that lie in none of the merged spans."""
    left, now = seconds, at
    for span in reversed(disturbed):
        if span.begin >= now:
            continue
        calm = now - min(span.end, now)
        if calm >= left:
            break
        left -= calm
        now = span.begin
    return now - left


def _complaint(record: Record, ip: str, before: bool | None, after: Shown, since: float) -> str | None:
    span = record.wanted.get(ip)
    if after.ready is None:
        named = span is not None and span.begin <= since and after.at < span.end
        return "left out, though the spec names it" if before is not None and named else None
    if span is None:
        return "published, though no spec names it"
    state = constantly(record, ip, since, after.at)
    if after.ready and not before and state is False:
        return "let in, though its backend was dead all the while"
    if before and not after.ready and state is True:
        return "taken out, though its backend was healthy all the while"
    return None


def _published(record: Record, ip: str, at: float) -> bool | None:
    shown = record.shown.get(ip, [])
    place = bisect_right(shown, at, key=lambda one: one.at)
    return shown[place - 1].ready if place else None


def _wrong_spans(record: Record, ip: str, shown: Sequence[Shown], until: float) -> Iterator[Span]:
    """The spans in which published and true states differ; both change in steps."""
    edges = sorted({one.at for one in shown} | {turn.at for turn in record.truth[ip]} | {until})
    begun: float | None = None
    for edge in [edge for edge in edges if edge <= until]:
        published = _published(record, ip, edge)
        wrong = edge < until and published is not None and published is not healthy(record, ip, edge)
        if wrong and begun is None:
            begun = edge
        elif not wrong and begun is not None:
            yield Span(begun, edge)
            begun = None


def _words(ready: bool | None) -> str:
    return {None: "nothing", True: "ready", False: "not ready"}[ready]

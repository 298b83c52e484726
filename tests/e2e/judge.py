"""Judges what was published of each address against what its backend did. Pure; times are seconds of one clock.

It knows the rules of the game and nothing of those who play it. Addresses stand in one ExternalService each, once.
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
    """From `at` on a backend answers probes well, or it does not."""

    at: float
    healthy: bool


class Shown(NamedTuple):
    """From `at` on an address is published as ready or not ready, or is not published (None)."""

    at: float
    ready: bool | None


class Fault(NamedTuple):
    """What must not be: of which address, when, and what."""

    at: float
    ip: str
    what: str


class Wrong(NamedTuple):
    """An address was published as what its backend was not. `undisturbed`: less the time of the faults we made."""

    ip: str
    begin: float
    end: float
    undisturbed: float


@dataclass(slots=True)
class Record:
    """What happened, by address, each in order of time.

    `wanted`: when a spec names it. `outages`: when what has been found out could not be published (API server, hook,
    composite controller). `absences`: when an owner could not probe, until another must have taken over.
    """

    truth: dict[str, list[Turn]] = field(default_factory=dict)
    wanted: dict[str, Span] = field(default_factory=dict)
    shown: dict[str, list[Shown]] = field(default_factory=dict)
    outages: list[Span] = field(default_factory=list)
    absences: list[Span] = field(default_factory=list)


def faults(record: Record, evidence: float) -> list[Fault]:
    """Every change of a publication without a real cause in the last `evidence` seconds in which it could be reported.

    An address that is taken out (or let in) though its backend was healthy (or not) all the while, and one that
    vanishes though the spec named it all the while.
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
    """The addresses whose publication at that moment is not the truth."""
    found = []
    for ip in record.wanted.keys() | record.shown.keys():
        span = record.wanted.get(ip, Span(inf, inf))
        true = healthy(record, ip, at) if span.begin <= at < span.end else None
        shown = _published(record, ip, at)
        if shown is not true:
            found.append(Fault(at, ip, f"published as {_words(shown)} where {_words(true)} is true"))
    return sorted(found)


def wrongs(record: Record, until: float) -> list[Wrong]:
    """Every time that an address was published as what its backend was not, while a spec named it."""
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
    """What its backend was at a moment."""
    turns = record.truth[ip]
    place = bisect_right(turns, at, key=lambda turn: turn.at)
    return turns[max(place - 1, 0)].healthy


def constantly(record: Record, ip: str, begin: float, end: float) -> bool | None:
    """What its backend was all the time between two moments; None if it turned."""
    state = healthy(record, ip, begin)
    turned = any(turn.healthy is not state for turn in record.truth[ip] if begin < turn.at <= end)
    return None if turned else state


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that do not touch, in order."""
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


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through (seconds, value), by least squares: value per second. 0 for fewer than two."""
    if len(samples) < 2:
        return 0.0
    mean_x, mean_y = (sum(values) / len(samples) for values in zip(*samples, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


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
    """Where what is shown and what is true differ: both are steps, so only their edges matter."""
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

"""Compares the published state of each address with the state of its backend. Pure; times are seconds of one clock.

Each address is in one ExternalService, once.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
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


@dataclass(slots=True)
class Record:
    """The record, by address, each in order of time.

    `wanted`: when a spec names the address. `outages`: when results could not be published (API server, hook, composite
    controller).
    """

    truth: dict[str, list[Turn]] = field(default_factory=dict)
    wanted: dict[str, Span] = field(default_factory=dict)
    shown: dict[str, list[Shown]] = field(default_factory=dict)
    outages: list[Span] = field(default_factory=list)


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


def _words(ready: bool | None) -> str:
    return {None: "nothing", True: "ready", False: "not ready"}[ready]

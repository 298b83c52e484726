"""Which addresses the hostnames of one ExternalService resolve to now: pure.

An address that DNS no longer returns is removed as soon as another one of its name is ready, and after GRACE_SECONDS in
any case: a name that moves from one host to another never leaves the Service without either (ADR 12).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from external_service.kind import family_of
from probe_sidecar.hostnames.answer import MOST_ADDRESSES, Answer, numeric

GRACE_SECONDS = 60.0
"""Seconds that a ready address may outlive its DNS record while no other address of its name is ready."""


class ResolvedAddress(NamedTuple):
    """An address by its name. `left`: since when DNS no longer returns it, in seconds of the clock; None: it does."""

    hostname: str
    left: float | None = None


def resolve(
    hostnames: Iterable[str],
    answers: Mapping[str, Answer],
    before: Mapping[str, ResolvedAddress],
    serves: Callable[[str], bool],
    now: float,
) -> dict[str, ResolvedAddress]:
    """The addresses, by the order of their names and then numerically; one that two names share is the first's.

    Without a DNS response yet, the addresses from before stay (R6). `serves` says which are published as ready.
    """
    names = list(dict.fromkeys(hostnames))
    current = {name: _current(answers[name], _of(name, before)) for name in names}
    placed = {ip: ResolvedAddress(name) for name in reversed(names) for ip in current[name]}
    for ip, one in before.items():
        if ip not in placed and one.hostname in current and serves(ip):
            left = now if one.left is None else one.left
            if now - left < GRACE_SECONDS and not any(map(serves, current[one.hostname])):
                placed[ip] = ResolvedAddress(one.hostname, left)
    order = {name: place for place, name in enumerate(names)}
    ranked = sorted(placed, key=lambda ip: (order[placed[ip].hostname], numeric(ip)))
    return {ip: placed[ip] for ip in ranked}


def next_review(found: Iterable[ResolvedAddress]) -> float | None:
    """When the first of them has outlived its record for long enough; None if none has to go."""
    return min((one.left + GRACE_SECONDS for one in found if one.left is not None), default=None)


def _current(answer: Answer, before: list[str]) -> list[str]:
    ipv4 = [ip for ip in before if family_of(ip) == "IPv4"] if answer.ipv4 is None else answer.ipv4
    ipv6 = [ip for ip in before if family_of(ip) == "IPv6"] if answer.ipv6 is None else answer.ipv6
    return sorted((*ipv4, *ipv6), key=numeric)[:MOST_ADDRESSES]


def _of(name: str, before: Mapping[str, ResolvedAddress]) -> list[str]:
    return [ip for ip, one in before.items() if one.hostname == name]

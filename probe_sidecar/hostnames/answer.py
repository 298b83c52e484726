"""Replies of DNS for one name, and the addresses that the hostnames of one ExternalService resolve to: pure.

A name loses its addresses to other addresses only: any other reply, including that there is no such name, keeps the
last result (ADR 12).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, NamedTuple

from external_service.kind import family_of

MOST_ADDRESSES = 64
"""Of one name: those beyond are left out, which is reported."""

TTL_SECONDS = (5.0, 300.0)
"""Bounds on the TTL of a result, in seconds: a shorter one is a load on DNS, a longer one keeps a change unseen."""

NEGATIVE_SECONDS = 30.0
"""Seconds until a name that does not exist is looked up again."""

GRACE_SECONDS = 60.0
"""Seconds that a ready address may outlive its DNS record while no other address of its name is ready."""

Result = Literal["ok", "no_data", "nxdomain", "failed"]
RESULTS: tuple[Result, ...] = ("ok", "no_data", "nxdomain", "failed")


class Reply(NamedTuple):
    """Result of one question, for IPv4 (A) or IPv6 (AAAA).

    `addresses` and `ttl` (seconds, the shortest of a chain of CNAMEs) come with "ok" alone. `problem` says of "failed"
    what happened, in words that are the same each time.
    """

    result: Result
    addresses: tuple[str, ...] = ()
    ttl: float = 0.0
    problem: str = ""


NOT_ASKED = Reply("no_data")
"""Of a family that is not wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The addresses that count, in canonical form and numeric order; None: DNS has not said yet."""

    ipv4: tuple[str, ...] | None = None
    ipv6: tuple[str, ...] | None = None


UNKNOWN = Answer()


def following(last: Answer, ipv4: Reply, ipv6: Reply) -> Answer:
    """Result of these two replies, given the one before. A family is empty only where the other one has addresses."""
    return Answer(_family(last.ipv4, ipv4, ipv6), _family(last.ipv6, ipv6, ipv4))


def numeric(ip: str) -> tuple[int, int]:
    """The order of addresses: IPv4 first, then as numbers."""
    address = ip_address(ip)
    return address.version, int(address)


def result(ipv4: Reply, ipv6: Reply) -> Result:
    """Result of a whole lookup. Servers that deny the name for one family are wrong, and many."""
    replies = (ipv4.result, ipv6.result)
    if "failed" in replies:
        return "failed"
    if "ok" in replies:
        return "ok"
    return "nxdomain" if "nxdomain" in replies else "no_data"


def failure(ipv4: Reply, ipv6: Reply) -> str:
    """Description of a failure; empty after a success."""
    failed = {family: reply.problem for family, reply in (("A", ipv4), ("AAAA", ipv6)) if reply.result == "failed"}
    if len(set(failed.values())) == 1 and len(failed) > 1:
        return ipv4.problem
    return ", ".join(f"{family}: {problem}" for family, problem in failed.items())


def lasting(ipv4: Reply, ipv6: Reply) -> float | None:
    """Seconds for which the result may be used; None without one."""
    ttls = [reply.ttl for reply in (ipv4, ipv6) if reply.result == "ok"]
    least, most = TTL_SECONDS
    return min(max(min(ttls), least), most) if ttls else None


def _family(last: tuple[str, ...] | None, mine: Reply, other: Reply) -> tuple[str, ...] | None:
    if mine.result == "ok":
        return tuple(sorted(set(mine.addresses), key=numeric))
    if mine.result != "failed" and other.result == "ok":
        return ()
    return last


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

    Without a DNS response yet, the addresses from before stay (R6). `serves` says which are published as ready. An
    address that DNS no longer returns is removed as soon as another one of its name is ready, and after GRACE_SECONDS
    in any case: a name that moves from one host to another never leaves the Service without either (ADR 12).
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

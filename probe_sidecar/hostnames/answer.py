"""Replies of DNS for one name, and their evaluation: pure.

A name loses its addresses to other addresses only: any other reply, including that there is no such name, keeps the
last result (ADR 12).
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, NamedTuple

MOST_ADDRESSES = 64
"""Of one name: those beyond are left out, which is reported."""

TTL_SECONDS = (5.0, 300.0)
"""Bounds on the TTL of a result, in seconds: a shorter one is a load on DNS, a longer one keeps a change unseen."""

NEGATIVE_SECONDS = 30.0
"""Seconds until a name that does not exist is looked up again."""

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

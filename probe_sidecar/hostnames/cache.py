"""Addresses of all names that this process needs: each is looked up once for all its users, by its TTL.

A name loses its addresses to other addresses only: any other reply, including that there is no such name, keeps the
last result (ADR 12).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from ipaddress import ip_address
from random import random
from typing import TYPE_CHECKING, Literal, NamedTuple

from external_service.kind import FAMILIES, Family, family_of
from probe_sidecar.fair_queue import FairPlaces, each_in_turn
from probe_sidecar.kube.errors import Backoff

if TYPE_CHECKING:
    from probe_sidecar.hostnames.hostnames import Hostnames

log = logging.getLogger(__name__)

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


@lru_cache(maxsize=4_096)
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
    served = cache(lambda name: any(map(serves, current[name])))
    placed = {ip: ResolvedAddress(name) for name in reversed(names) for ip in current[name]}
    for ip, one in before.items():
        if ip not in placed and one.hostname in current and serves(ip):
            left = now if one.left is None else one.left
            if now - left < GRACE_SECONDS and not served(one.hostname):
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


CONCURRENT_LOOKUPS = 16
"""Of names with a result."""

UNPROVEN_LOOKUPS = 8
"""Of all others: a lookup without a response takes 5 s, and a thousand of them must not delay the others."""

SPREAD_SECONDS = 5.0
"""Over which the first lookups of a start or a takeover are spread: their last addresses are in the status."""

RETRY_SECONDS = (1.0, 60.0)
"""First and longest pause after a lookup that failed."""

REPORTED_AFTER = 3
"""Failures in a row that are reported: one lost packet is not."""

LATE_SHARE = 0.05
"""Part of its TTL by which a lookup may be late, so that names with one TTL are not looked up together."""


Families = tuple[Family, ...]
Lookup = Callable[[str, Families], Awaitable[tuple[Reply, Reply]]]


@dataclass(slots=True, eq=False)
class Entry:
    """State of one name: `last` is the result of the last lookup, `retries` counts consecutive failures;
    `answered_at` is in seconds of the clock.

    `reported` is what to report of it (None: nothing certain yet), and `problem` how a reported failure began.
    """

    answer: Answer = UNKNOWN
    last: Result | None = None
    reported: Result | None = None
    problem: str = ""
    retries: Backoff = field(default_factory=lambda: Backoff(*RETRY_SECONDS, random))
    answered_at: float | None = None
    hurry: bool = True
    users: dict["Hostnames", None] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    @property
    def excessive(self) -> bool:
        """Whether the name has more addresses than count."""
        return len((self.answer.ipv4 or ()) + (self.answer.ipv6 or ())) > MOST_ADDRESSES


class NameCache:
    """Needs `run` running. The users of a name are notified when its result or its report has changed.

    `entries` are all names that are needed, with the families that are: each combination is looked up by itself.
    `lookup` gives the replies for IPv4 and IPv6; `random` gives [0, 1); `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        lookup: Lookup,
        *,
        clock: Callable[[], float],
        random: Callable[[], float] = random,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._random = random
        self.entries: dict[tuple[str, Families], Entry] = {}
        self._notifying = asyncio.Lock()
        self._proven = FairPlaces(CONCURRENT_LOOKUPS)
        self._unproven = FairPlaces(UNPROVEN_LOOKUPS)
        self._called = asyncio.Event()
        self.lookups: Counter[Result] = Counter()

    @property
    def failing(self) -> int:
        """Names without addresses in the last lookup."""
        return sum(entry.last not in (None, "ok") for entry in self.entries.values())

    def ages(self) -> Iterator[tuple[str, float]]:
        """Seconds since the last addresses of each name that ever had any, of any family."""
        now = self._clock()
        answered: dict[str, float] = {}
        for (name, _), entry in self.entries.items():
            if entry.answered_at is not None:
                answered[name] = max(answered.get(name, entry.answered_at), entry.answered_at)
        for name, at in answered.items():
            yield name, now - at

    def want(self, name: str, user: "Hostnames", *, hurry: bool, families: Families = FAMILIES) -> None:
        """Ask for this name from now on: at once, or without `hurry` within SPREAD_SECONDS."""
        entry = self.entries.get((name, families))
        if entry is None:
            entry = self.entries[name, families] = Entry(hurry=hurry, retries=Backoff(*RETRY_SECONDS, self._random))
            self._called.set()
        entry.users[user] = None

    def drop(self, name: str, user: "Hostnames", *, families: Families = FAMILIES) -> None:
        """`user` does not need the name any more. With its last user it is forgotten."""
        entry = self.entries.get((name, families))
        if entry is None:
            return
        entry.users.pop(user, None)
        if not entry.users:
            del self.entries[name, families]
            if entry.task is not None:
                entry.task.cancel()

    def entry(self, name: str, families: Families = FAMILIES) -> Entry:
        """State of `name`."""
        return self.entries.get((name, families)) or Entry()

    async def run(self) -> None:
        """Ask for what is wanted, when it is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for (name, families), entry in self.entries.items():
                    if entry.task is None:
                        entry.task = group.create_task(self._keep(name, families, entry), name=f"name {name}")
                await self._called.wait()
                self._called.clear()

    async def _keep(self, name: str, families: Families, entry: Entry) -> None:
        if not entry.hurry:
            await asyncio.sleep(self._random() * SPREAD_SECONDS)
        while True:
            before = entry.answer, entry.reported
            places = self._unproven if entry.last in (None, "failed") else self._proven
            await places.acquire((next((user.namespace for user in entry.users), ""), name))
            try:
                ipv4, ipv6 = await self._lookup(name, families)
            except Exception as error:  # one name must not end the lookups of all others (R8)
                log.exception("the lookup of %s failed in the prober", name)
                ipv4 = ipv6 = Reply("failed", problem=type(error).__name__)
            finally:
                places.release()
            pause = self._take(entry, ipv4, ipv6)
            if before != (entry.answer, entry.reported):
                log.info("%s: %s", name, _described(entry))
                async with self._notifying:
                    await each_in_turn([user.answered for user in entry.users])
            await asyncio.sleep(pause)

    def _take(self, entry: Entry, ipv4: Reply, ipv6: Reply) -> float:
        """Note what came; the seconds until the next lookup."""
        outcome, ttl = result(ipv4, ipv6), lasting(ipv4, ipv6)
        pauses = [] if ttl is None else [ttl * (1 + LATE_SHARE * self._random())]
        self.lookups[outcome] += 1
        entry.last = outcome
        entry.answer = following(entry.answer, ipv4, ipv6)
        if outcome == "failed":
            pauses.append(entry.retries.pause())
        else:
            entry.retries.reset()
        if "ok" in (ipv4.result, ipv6.result):
            entry.answered_at = self._clock()
        if outcome != entry.reported and (outcome != "failed" or entry.retries.attempts >= REPORTED_AFTER):
            entry.reported, entry.problem = outcome, failure(ipv4, ipv6)
        return min(pauses, default=NEGATIVE_SECONDS)


def _described(entry: Entry) -> str:
    addresses = ", ".join(((entry.answer.ipv4 or ()) + (entry.answer.ipv6 or ()))[:MOST_ADDRESSES])
    return (
        f"{entry.reported or 'not answered yet'}{entry.problem and ': '}{entry.problem}; {addresses or 'no addresses'}"
    )

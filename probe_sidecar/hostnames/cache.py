"""Addresses of all names that this process needs: each is looked up once for all its users, by its TTL."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from random import random
from typing import TYPE_CHECKING

from external_service.kind import FAMILIES, Family
from probe_sidecar.fair_queue import FairPlaces
from probe_sidecar.hostnames.answer import (
    MOST_ADDRESSES,
    NEGATIVE_SECONDS,
    UNKNOWN,
    Answer,
    Reply,
    Result,
    failure,
    following,
    lasting,
    result,
)

if TYPE_CHECKING:
    from probe_sidecar.hostnames.hostnames import Hostnames

log = logging.getLogger(__name__)

NOTIFIED_AT_ONCE = 5
"""ExternalServices that are notified of a result in one turn of the loop, so that probes get theirs. One with 10 new
addresses takes half a millisecond of CPU: 1,000 of them at once would delay the probes by half a second.
"""

CONCURRENT_LOOKUPS = 16
"""Of names with a result."""

UNPROVEN_LOOKUPS = 8
"""Of all others: a lookup without a response takes 5 s, and a thousand of them must not delay the others."""

SPREAD_SECONDS = 5.0
"""Over which the first lookups of a start or a takeover are spread: their last addresses are in the status."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
REPORTED_AFTER = 3
"""Failures in a row that are reported: one lost packet is not."""

LATE_SHARE = 0.05
"""Part of its TTL by which a lookup may be late, so that names with one TTL are not looked up together."""


Families = tuple[Family, ...]
Lookup = Callable[[str, Families], Awaitable[tuple[Reply, Reply]]]


@dataclass(slots=True, eq=False)
class Entry:
    """State of one name: `last` is the result of the last lookup, `failures` the number of consecutive failures;
    `answered_at` is in seconds of the clock.

    `reported` is what to report of it (None: nothing certain yet), and `problem` how a reported failure began.
    """

    answer: Answer = UNKNOWN
    last: Result | None = None
    reported: Result | None = None
    problem: str = ""
    failures: int = 0
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
        self._to_notify: dict[Hostnames, None] = {}  # those to be notified, in order
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
            entry = self.entries[name, families] = Entry(hurry=hurry)
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
            places = self._unproven if entry.last in (None, "failed") else self._proven
            await places.acquire((next((user.namespace for user in entry.users), ""), name))
            try:
                ipv4, ipv6 = await self._lookup(name, families)
            except Exception as error:  # one name must not end the lookups of all others (R8)
                log.exception("the lookup of %s failed in the prober", name)
                ipv4 = ipv6 = Reply("failed", problem=type(error).__name__)
            finally:
                places.release()
            await asyncio.sleep(self._take(name, entry, ipv4, ipv6))

    def _take(self, name: str, entry: Entry, ipv4: Reply, ipv6: Reply) -> float:
        """Note what came; the seconds until the next lookup."""
        before, outcome = (entry.answer, entry.reported), result(ipv4, ipv6)
        self.lookups[outcome] += 1
        entry.last = outcome
        entry.answer = following(entry.answer, ipv4, ipv6)
        entry.failures = entry.failures + 1 if outcome == "failed" else 0
        if "ok" in (ipv4.result, ipv6.result):
            entry.answered_at = self._clock()
        if outcome != entry.reported and (outcome != "failed" or entry.failures >= REPORTED_AFTER):
            entry.reported, entry.problem = outcome, failure(ipv4, ipv6)
        if before != (entry.answer, entry.reported):
            log.info("%s: %s", name, _described(entry))
            self._notify(entry)
        return self._pause(entry, lasting(ipv4, ipv6))

    def _notify(self, entry: Entry) -> None:
        idle = not self._to_notify
        self._to_notify |= entry.users
        if idle:
            self._notify_some()

    def _notify_some(self) -> None:
        for user in list(islice(self._to_notify, NOTIFIED_AT_ONCE)):
            del self._to_notify[user]
            user.answered()
        if self._to_notify:
            asyncio.get_running_loop().call_soon(self._notify_some)

    def _pause(self, entry: Entry, seconds: float | None) -> float:
        pauses = [] if seconds is None else [seconds * (1 + LATE_SHARE * self._random())]
        if entry.failures:
            longest = min(FIRST_RETRY_SECONDS * 2.0 ** min(entry.failures - 1, 60), LONGEST_RETRY_SECONDS)
            pauses.append(longest * (1 + self._random()) / 2)
        return min(pauses, default=NEGATIVE_SECONDS)


def _described(entry: Entry) -> str:
    addresses = ", ".join(((entry.answer.ipv4 or ()) + (entry.answer.ipv6 or ()))[:MOST_ADDRESSES])
    return (
        f"{entry.reported or 'not answered yet'}{entry.problem and ': '}{entry.problem}; {addresses or 'no addresses'}"
    )

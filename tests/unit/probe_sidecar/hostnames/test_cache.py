"""Times of lookups in virtual time, and the entries made from the replies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from probe_sidecar.hostnames import cache
from probe_sidecar.hostnames.cache import Families, Reply
from tests.until import beside
from tests.virtual_time import in_virtual_time

A, B = "10.0.100.10", "10.0.100.11"
NOTHING, NO_NAME = Reply("no_data"), Reply("nxdomain")
FAILED = Reply("failed", problem="SERVFAIL")


def ok(*addresses: str, ttl: float = 60) -> Reply:
    return Reply("ok", addresses, ttl)


class User:
    """A user of one name that records its notifications."""

    def __init__(self, rig: "Rig", name: str) -> None:
        self._rig = rig
        self._name = name

    @property
    def namespace(self) -> str:
        return self._name.partition("-")[0]

    def answered(self) -> None:
        self._rig.changes.append((self._rig.now, self._name))


class Rig:
    """A cache with scripted replies; `asked` has the times (s) of the lookups of each name."""

    def __init__(self, *, random: float = 0.0, seconds: float = 0.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.replies: dict[str, tuple[Reply, Reply]] = {}
        self.asked: dict[str, list[float]] = {}
        self.users: dict[str, Any] = {}
        self.changes: list[tuple[float, str]] = []
        self.seconds = seconds
        self.flying = self.most = 0
        self.cache = cache.NameCache(self.lookup, clock=self.loop.time, random=lambda: random)

    @property
    def now(self) -> float:
        return self.loop.time() - self.began

    def want(self, *names: str, hurry: bool) -> None:
        for name in names:
            self.cache.want(name, self.users.setdefault(name, User(self, name)), hurry=hurry)

    def drop(self, name: str) -> None:
        self.cache.drop(name, self.users.setdefault(name, User(self, name)))

    async def lookup(self, name: str, families: Families) -> tuple[Reply, Reply]:
        del families
        self.asked.setdefault(name, []).append(self.now)
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(self.seconds)
        self.flying -= 1
        return self.replies[name]


@asynccontextmanager
async def asking(a: Reply, aaaa: Reply = NOTHING, *, hurry: bool = True, **rig: float) -> AsyncIterator[Rig]:
    """A cache that runs and of which "db.io" has just been wanted; `a` and `aaaa` are the replies."""
    made = Rig(**rig)
    made.replies["db.io"] = a, aaaa
    async with beside(made.cache.run()):
        made.want("db.io", hurry=hurry)
        yield made


@in_virtual_time
async def test_failed_lookup_backs_off_and_is_reported_if_it_lasts() -> None:
    async with asking(ok(A, ttl=5), random=1.0) as rig:
        await asyncio.sleep(1)
        rig.replies["db.io"] = FAILED, FAILED
        await asyncio.sleep(150)
        entry = rig.cache.entry("db.io")
        assert (entry.answer, entry.reported) == (cache.Answer((A,), ()), "failed")
        assert entry.problem == "SERVFAIL"
        rig.replies["db.io"] = ok(A, ttl=300), NOTHING
        await asyncio.sleep(100)
        assert (entry.reported, entry.problem) == ("ok", "")
    assert rig.asked["db.io"] == [0, 5.25, 6.25, 8.25, 12.25, 20.25, 36.25, 68.25, 128.25, 188.25]
    assert rig.changes == [(0, "db.io"), (8.25, "db.io"), (188.25, "db.io")]


@in_virtual_time
async def test_missing_name_is_reported_and_retried() -> None:
    async with asking(NO_NAME, NO_NAME) as rig:
        await asyncio.sleep(45)
        assert rig.cache.entry("db.io").reported == "nxdomain"
        rig.replies["db.io"] = ok(A), NOTHING
        await asyncio.sleep(20)
        assert rig.cache.entry("db.io").reported == "ok"
    assert rig.asked == {"db.io": [0, 30, 60]}
    assert rig.cache.lookups == {"nxdomain": 2, "ok": 1}


@in_virtual_time
async def test_lookups_in_flight_are_limited() -> None:
    rig = Rig(seconds=1.0)
    names = [f"h{number}.io" for number in range(100)]
    rig.replies = dict.fromkeys(names, (ok(A), NOTHING))
    async with beside(rig.cache.run()):
        rig.want(*names, hurry=True)
        await asyncio.sleep(14)
        assert (rig.most, len(rig.asked)) == (cache.UNPROVEN_LOOKUPS, 100)
        rig.seconds = 5.0
        await asyncio.sleep(60)
    assert rig.most == cache.CONCURRENT_LOOKUPS


@in_virtual_time
async def test_unresponsive_names_do_not_delay_others() -> None:
    rig = Rig(seconds=5.0)
    names = [f"a-{number}.io" for number in range(1_000)]
    rig.replies = dict.fromkeys(names, (FAILED, FAILED)) | {"b-0.io": (ok(A, ttl=5), NOTHING)}
    async with beside(rig.cache.run()):
        rig.want(*names, hurry=True)
        await asyncio.sleep(1)
        rig.want("b-0.io", hurry=True)
        await asyncio.sleep(300)
    first, *_ = asked = rig.asked["b-0.io"]
    assert first <= 10, "its namespace has the next place"
    assert max(after - before for before, after in pairwise(asked)) == 10, "5 s for the lookup, and its TTL"


@in_virtual_time
async def test_exception_in_a_lookup_is_a_failure() -> None:
    async with asking(ok(A)) as rig:
        del rig.replies["db.io"]
        await asyncio.sleep(1)
        assert rig.cache.entry("db.io").last == "failed"


@in_virtual_time
async def test_lookups_at_start_are_spread() -> None:
    async with asking(ok(A), hurry=False, random=0.5) as rig:
        await asyncio.sleep(cache.SPREAD_SECONDS)
    assert rig.asked == {"db.io": [cache.SPREAD_SECONDS / 2]}


@in_virtual_time
async def test_unused_name_is_not_looked_up() -> None:
    async with asking(ok(A, ttl=5), seconds=1.0) as rig:
        await asyncio.sleep(0.5)
        rig.drop("db.io")
        await asyncio.sleep(60)
        assert (rig.changes, dict(rig.cache.entries)) == ([], {})
        rig.want("db.io", hurry=True)
        await asyncio.sleep(2)
    assert rig.asked == {"db.io": [0, 60.5]}

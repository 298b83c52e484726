"""The addresses of the hostnames of an ExternalService as DNS replies change."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.hostnames.cache import GRACE_SECONDS, Answer, Entry, Families, NameCache, Reply
from probe_sidecar.hostnames.hostnames import LAST_KEPT, RESOLVED, Hostnames, Report, report
from tests.cases import cases
from tests.until import beside
from tests.virtual_time import in_virtual_time

A, B, C, V6 = "10.0.100.10", "10.0.100.11", "10.0.100.12", "2001:db8::10"
DB, LB = "db.io", "lb.io"
NOTHING = Reply("no_data")
FAILED = Reply("failed", problem="SERVFAIL")


def ok(*addresses: str, ttl: float = 5) -> Reply:
    return Reply("ok", addresses, ttl)


def spec(*hostnames: str, ips: tuple[str, ...] = ()) -> ExternalServiceSpec:
    return ExternalServiceSpec(port=80, ips=ips, hostnames=hostnames)


class Rig:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.replies: dict[str, tuple[Reply, Reply]] = {}
        self.serving: set[str] = set()
        self.changes: list[str] = []
        self.cache = NameCache(self.lookup, clock=self.loop.time, random=lambda: 0.0)
        self.services: dict[str, Hostnames] = {}

    async def lookup(self, name: str, families: Families) -> tuple[Reply, Reply]:
        ipv4, ipv6 = self.replies[name]
        return ipv4 if "IPv4" in families else NOTHING, ipv6 if "IPv6" in families else NOTHING

    def names(self, uid: str = "u1") -> list[tuple[str, str]]:
        return list(self.services[uid].addresses.items())

    def of(self, uid: str) -> Hostnames:
        if uid not in self.services:
            changed = partial(self.changes.append, uid)
            self.services[uid] = Hostnames(self.loop, self.cache, lambda ip: ip in self.serving, changed)
        return self.services[uid]


def scenario(body: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    """The body as a test in virtual time, beside a cache that runs."""

    @in_virtual_time
    async def test() -> None:
        rig = Rig()
        async with beside(rig.cache.run()):
            await body(rig)

    return test


@scenario
async def test_addresses_of_the_status_stay_while_dns_fails(rig: Rig) -> None:
    rig.replies[DB] = FAILED, FAILED
    rig.of("u1").apply(spec(DB), {A: DB, V6: DB, B: "left.io"}, hurry=False)
    assert rig.names() == [(A, DB), (V6, DB)]
    await asyncio.sleep(600)
    assert rig.names() == [(A, DB), (V6, DB)]
    assert rig.changes == ["u1"], "the failure is reported"
    rig.replies[DB] = ok(B), NOTHING
    await asyncio.sleep(61)
    assert rig.names() == [(B, DB)]


@scenario
async def test_newer_status_is_used_until_dns_responds(rig: Rig) -> None:
    rig.replies[DB] = ok(A), NOTHING
    rig.of("u1").apply(spec(DB), {A: DB}, hurry=False)
    rig.of("u1").apply(spec(DB), {A: DB, B: DB}, hurry=False)
    assert rig.names() == [(A, DB), (B, DB)]
    await asyncio.sleep(1)
    rig.of("u1").apply(spec(DB), {A: DB, B: DB}, hurry=False)
    assert rig.names() == [(A, DB)]


@scenario
async def test_takeover_with_a_cached_result_keeps_ready_addresses(rig: Rig) -> None:
    rig.replies[DB] = ok(B), NOTHING
    rig.of("u1").apply(spec(DB), {}, hurry=True)
    await asyncio.sleep(1)
    rig.of("u2").apply(spec(DB), {A: DB}, hurry=False)
    assert rig.names("u2") == [(A, DB)], "what is known of it is not with the prober yet"
    rig.serving.add(A)
    await asyncio.sleep(1)
    assert rig.names("u2") == [(A, DB), (B, DB)]
    assert rig.changes == ["u1", "u2"]


@scenario
async def test_old_address_leaves_when_the_new_one_is_ready(rig: Rig) -> None:
    rig.replies[DB] = ok(A), NOTHING
    rig.of("u1").apply(spec(DB), {}, hurry=True)
    await asyncio.sleep(1)
    rig.serving.add(A)
    rig.replies[DB] = ok(B), NOTHING
    await asyncio.sleep(6)
    assert rig.names() == [(A, DB), (B, DB)]
    rig.of("u1").readiness_changed()
    await asyncio.sleep(0)
    assert rig.names() == [(A, DB), (B, DB)]
    rig.serving.add(B)
    rig.of("u1").readiness_changed()
    assert rig.names() == [(A, DB), (B, DB)], "not inside the call"
    await asyncio.sleep(0)
    assert rig.names() == [(B, DB)]
    assert rig.changes == ["u1", "u1", "u1"]


@scenario
async def test_old_address_leaves_after_the_grace_period(rig: Rig) -> None:
    rig.replies[DB] = ok(A, ttl=300), NOTHING
    rig.of("u1").apply(spec(DB), {}, hurry=True)
    await asyncio.sleep(1)
    rig.serving.add(A)
    rig.replies[DB] = ok(B, ttl=300), NOTHING
    await asyncio.sleep(300)
    assert rig.names() == [(A, DB), (B, DB)]
    await asyncio.sleep(GRACE_SECONDS - 2)
    assert rig.names() == [(A, DB), (B, DB)]
    await asyncio.sleep(2)
    assert rig.names() == [(B, DB)]


@scenario
async def test_hostnames_follow_the_spec(rig: Rig) -> None:
    rig.replies = {DB: (ok(A), NOTHING), LB: (ok(B), NOTHING)}
    rig.of("u1").apply(spec(DB), {}, hurry=True)
    rig.of("u2").apply(spec(DB), {}, hurry=True)
    await asyncio.sleep(1)
    rig.of("u1").apply(spec(LB, DB), {A: DB}, hurry=True)
    await asyncio.sleep(1)
    assert rig.names() == [(B, LB), (A, DB)]
    rig.serving.add(A)
    rig.of("u1").apply(spec(LB), {}, hurry=True)
    assert rig.names() == [(B, LB)]
    rig.of("u2").close()
    assert [name for name, _ in rig.cache.entries] == [LB]
    rig.of("u1").apply(spec(), {}, hurry=True)
    assert (rig.names(), rig.of("u1").report(), [*rig.cache.entries]) == ([], None, [])


@scenario
async def test_total_number_of_addresses_is_limited(rig: Rig) -> None:
    names = [f"h{number}.io" for number in range(16)]
    for number, name in enumerate(names):
        rig.replies[name] = ok(*(f"10.1.{number}.{last}" for last in range(64))), NOTHING
    ips = ("10.1.0.0", *(f"10.2.0.{last}" for last in range(99)))
    rig.of("u1").apply(spec(*names, ips=ips), {}, hurry=True)
    await asyncio.sleep(1)
    shown = rig.of("u1").addresses
    assert len({*ips, *shown}) == 1_000
    assert (shown["10.1.0.0"], "10.1.14.4" in shown, "10.1.14.5" in shown) == ("h0.io", True, False)
    report = rig.of("u1").report()
    assert report is not None
    assert report.reason == "TooManyAddresses"


@scenario
async def test_name_with_many_users_does_not_delay_probes(rig: Rig) -> None:
    rig.replies[DB] = ok(A), NOTHING
    uids = [f"u{number}" for number in range(11)]
    for uid in uids:
        rig.of(uid).apply(spec(DB), {}, hurry=True)
    rig.of("u7").close()
    turns: list[int] = []
    while len(rig.changes) < len(uids) - 1:
        await asyncio.sleep(0)
        if turns[-1:] != [len(rig.changes)]:
            turns.append(len(rig.changes))
    assert turns == list(range(11))
    assert [uid for uid in uids if rig.names(uid) != [(A, DB)]] == ["u7"]


@scenario
async def test_only_the_families_of_the_spec_are_resolved(rig: Rig) -> None:
    both = spec(DB)
    ipv4, ipv6 = (both.model_copy(update={"addressFamilies": (family,)}) for family in ("IPv4", "IPv6"))
    rig.replies[DB] = (ok(A), ok(V6))
    rig.of("u1").apply(ipv4, {A: DB, V6: DB}, hurry=True)
    rig.of("u2").apply(ipv6, {}, hurry=True)
    rig.of("u3").apply(both, {}, hurry=True)
    assert rig.names() == [(A, DB)]
    await asyncio.sleep(1)
    assert [rig.names(uid) for uid in ("u1", "u2", "u3")] == [[(A, DB)], [(V6, DB)], [(A, DB), (V6, DB)]]
    rig.of("u1").apply(both, {}, hurry=True)
    await asyncio.sleep(1)
    assert rig.names() == [(A, DB), (V6, DB)]
    rig.of("u3").apply(ipv4, {}, hurry=True)
    assert rig.names("u3") == [(A, DB)]


@scenario
async def test_excluded_family_is_no_failure(rig: Rig) -> None:
    rig.replies[DB] = (ok(A), FAILED)
    wanted = spec(DB).model_copy(update={"addressFamilies": ("IPv4",)})
    rig.of("u1").apply(wanted, {}, hurry=True)
    await asyncio.sleep(60)
    assert rig.of("u1").report() == Report(True, "Resolved", RESOLVED)
    rig.replies[DB] = (NOTHING, ok(V6))
    await asyncio.sleep(60)
    text = f"db.io: DNS has no A record of it; {LAST_KEPT}: create one"
    assert rig.of("u1").report() == Report(False, "NoAddresses", text)


GOOD = Entry(reported="ok", answer=Answer(("10.0.0.1",), ()))
FAILING, NO_DATA = Entry(reported="failed", problem="SERVFAIL"), Entry(reported="no_data")
GONE = "db.io: DNS knows no such name; it has no addresses: create the record, or correct spec.hostnames"
FAILED_TEXT = "db.io: SERVFAIL; it has no addresses: see to the DNS servers, or to ESO_DNS_SERVERS"
FLOOD = "db.io: more than 64 addresses: only the lowest 64 are used"
EMPTY = "lb.io: DNS has no A or AAAA record of it; its last addresses are kept: create one"
MANY = Entry(reported="ok", answer=Answer(tuple(f"10.0.0.{n}" for n in range(65)), ()))


@cases(
    "entries expected",
    ("fine", {"db.io": GOOD, "lb.io": GOOD}, Report(True, "Resolved", "every name is resolved")),
    ("one not known yet", {"db.io": GOOD, "lb.io": Entry()}, None),
    ("gone", {"db.io": Entry(reported="nxdomain"), "x": Entry()}, Report(False, "NameNotFound", GONE)),
    ("empty", {"lb.io": NO_DATA}, Report(False, "NoAddresses", EMPTY)),
    ("two problems", {"db.io": FAILING, "lb.io": NO_DATA}, Report(False, "LookupFailed", f"{FAILED_TEXT}; {EMPTY}")),
    ("a flood", {"db.io": MANY}, Report(False, "TooManyAddresses", FLOOD)),
)
def test_resolved_condition(entries: dict[str, Entry], expected: Report | None) -> None:
    assert report(entries, ["lb.io"], crowded=False) == expected


def test_resolved_condition_with_too_many_addresses() -> None:
    crowded = Report(False, "TooManyAddresses", "more than 1000 addresses in all: those beyond are left out")
    assert report({"db.io": GOOD}, ["db.io"], crowded=True) == crowded

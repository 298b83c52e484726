"""Lookups at a real DNS server on loopback."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from probe_sidecar.hostnames import resolver
from probe_sidecar.hostnames.cache import Reply
from probe_sidecar.hostnames.resolver import CNAME_LOOP, CNAMES_TOO_LONG, NO_SERVERS, Resolver
from tests.cases import cases
from tests.dns import NO_RESPONSE, DnsServer, Record

A, B, V6 = "10.0.100.10", "10.0.100.11", "2001:db8::10"
NAME = "db.example.com"
FAILED = "the DNS server responded with SERVFAIL"


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    await server.start()
    yield server
    await server.stop()


async def lookup(server: DnsServer, name: str = NAME) -> tuple[Reply, Reply]:
    return await Resolver([("127.0.0.1", server.port)], seconds=1).lookup(name)


async def test_both_families_are_queried(server: DnsServer) -> None:
    server.records[NAME] = Record((A, B, V6), ttl=42)
    ipv4, ipv6 = await lookup(server)
    assert (ipv4.result, sorted(ipv4.addresses), ipv4.ttl) == ("ok", [A, B], 42)
    assert ipv6 == Reply("ok", (V6,), 42)
    assert server.queries == {(NAME, "A"): 1, (NAME, "AAAA"): 1}


async def test_excluded_family_is_not_queried(server: DnsServer) -> None:
    server.records[NAME] = Record((A, V6))
    resolver = Resolver([("127.0.0.1", server.port)], seconds=1)
    assert await resolver.lookup(NAME, ("IPv6",)) == (Reply("no_data"), Reply("ok", (V6,), 60))
    assert server.queries == {(NAME, "AAAA"): 1}


async def test_cname_without_its_target_is_followed(server: DnsServer) -> None:
    server.records[NAME] = Record(alias="lb.example.net", ttl=7, alone=True)
    server.records["lb.example.net"] = Record(alias="node.example.net", alone=True)
    server.records["node.example.net"] = Record((A,), ttl=3_600)
    assert await lookup(server) == (Reply("ok", (A,), 7), Reply("no_data"))


@cases(
    "alone",
    ("one-response", False),
    ("several-responses", True),
)
@pytest.mark.parametrize("length", [1, 2, 3])
async def test_cname_loop_is_named(server: DnsServer, length: int, *, alone: bool) -> None:
    names = [NAME, "b.example.net", "c.example.net"][:length]
    for name, target in zip(names, [*names[1:], names[0]], strict=True):
        server.records[name] = Record(alias=target, alone=alone)
    assert await lookup(server) == (Reply("failed", problem=CNAME_LOOP),) * 2


@cases(
    "alone",
    ("one-response", False),
    ("several-responses", True),
)
async def test_long_cname_chain_is_named(server: DnsServer, *, alone: bool) -> None:
    names = [NAME, *(f"n{number}.example.net" for number in range(17))]
    for name, target in itertools.pairwise(names):
        server.records[name] = Record(alias=target, alone=alone)
    server.records[names[-1]] = Record((A,))
    assert await lookup(server) == (Reply("failed", problem=CNAMES_TOO_LONG),) * 2


async def test_search_domains_are_not_used(server: DnsServer) -> None:
    """In a Pod the search list would make five names of each, one of them in the wrong namespace."""
    assert (await lookup(server, "db"))[0] == Reply("nxdomain")
    assert set(server.queries) == {("db", "A"), ("db", "AAAA")}


async def test_one_family_may_fail_alone(server: DnsServer) -> None:
    server.records[NAME] = Record((A, V6), trouble={"AAAA": "SERVFAIL"})
    assert await lookup(server) == (Reply("ok", (A,), 60), Reply("failed", problem=FAILED))


async def test_lookup_without_response_times_out(server: DnsServer) -> None:
    server.records[NAME] = Record(trouble={"A": NO_RESPONSE, "AAAA": NO_RESPONSE})
    assert (await lookup(server))[0] == Reply("failed", problem="no response from DNS within 1 s")


async def test_next_server_is_queried_after_a_failure(server: DnsServer) -> None:
    server.records[NAME] = Record((A,))
    bad = DnsServer({NAME: Record(trouble={"A": "SERVFAIL", "AAAA": "SERVFAIL"})})
    await bad.start()
    both = Resolver([("127.0.0.1", bad.port), ("127.0.0.1", server.port)])
    assert (await both.lookup(NAME))[0] == Reply("ok", (A,), 60)
    await bad.stop()


async def test_truncated_response_is_retried_over_tcp(server: DnsServer) -> None:
    server.records[NAME] = Record(tuple(f"10.0.{n // 250}.{n % 250}" for n in range(500)))
    assert len((await lookup(server))[0].addresses) == 500
    assert server.queries[NAME, "A"] == 2


@cases(
    "text",
    ("no-file", None),
    ("no-servers-in-it", "search example.com\n"),
)
async def test_missing_servers_are_reported(tmp_path: Path, text: str | None) -> None:
    conf = tmp_path / "resolv.conf"
    if text is not None:
        conf.write_text(text)
    assert (await Resolver(conf=conf).lookup(NAME))[0] == Reply("failed", problem=NO_SERVERS)


CONFS = {
    "empty-label": b"search a..b\n",
    "leading-dot": b"search example.com .home\n",
    "long-label": b"search " + b"a" * 64 + b".example\n",
    "domain": b"domain ..\n",
    "no-arguments": b"nameserver\nsearch\noptions\n",
    "name-for-an-address": b"nameserver dns.example.com\n",
    "scoped": b"nameserver fe80::1%eth0%1\n",
    "latin-1": b"# l\xe9gende\n",
    "nul": b"\x00\x00\n",
    "carriage-return": b"options ndots:5\r\n",
    "options": b"options ndots:x timeout:-1 attempts:\n",
    "semicolon": b"; nameserver 192.0.2.1\n#nameserver 192.0.2.2\n",
}


@pytest.mark.parametrize("line", CONFS.values(), ids=CONFS)
async def test_only_nameservers_of_resolv_conf_are_used(
    server: DnsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_bytes(line + b"nameserver 127.0.0.1 # ours\n" + line)
    server.records[NAME] = Record((A,))
    monkeypatch.setattr(resolver, "DNS_PORT", server.port)
    assert (await Resolver(conf=conf, seconds=1).lookup(NAME))[0] == Reply("ok", (A,), 60)

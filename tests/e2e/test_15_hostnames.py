"""Endpoints follow a hostname, never without a ready address; failures of DNS and empty responses change nothing."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from playground.addresses import stand_ins
from playground.backends import Protocol
from playground.client import ENDPOINTS, Kind
from playground.dns_server import Record
from probe_sidecar.hostnames.hostnames import LAST_KEPT, NONE_KNOWN, not_found, too_many_addresses
from tests.e2e.backends import Mode, Place
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.scenarios.timeline import Follower
from tests.until import until

Object = dict[str, Any]

NAME = "db.example.com"
FIRST = stand_ins(NAME)
"""The addresses of the name in a world: two of IPv4 and one of IPv6."""
OTHERS = ("10.0.103.10", "10.0.103.11", "2001:db8::103:10")
TTL = 5
EVENTS = Kind("events.k8s.io/v1", "events", "Event", namespaced=True)
FOLLOWED_SECONDS = 1.05 * TTL + 3.0
"""The TTL and 5% of jitter; then a lookup, a probe, a status write and a sync."""

FAILED_SECONDS = 45.0
"""Three lookups of 5 s, and the pauses between them."""


def named(*ips: str, **spec: Any) -> Object:
    return external_service("web", ips, hostnames=[NAME], **spec)


def serve(world: World, ips: Sequence[str]) -> None:
    world.hosts.set([Place(ip, 8080, Protocol.HTTP) for ip in ips])


async def resolved(world: World) -> tuple[str, ...]:
    """Status, reason and message of the condition; empty without one."""
    found = (await world.status("web")).get("conditions", ())
    return next(
        ((one["status"], one["reason"], one["message"]) for one in found if one["type"] == "Resolved"), ("",) * 3
    )


async def until_resolved(world: World, status: str, reason: str, seconds: float = 30.0) -> str:
    """The message."""

    async def holds() -> bool:
        return (await resolved(world))[:2] == (status, reason)

    await until(holds, f"Resolved {status} {reason}", seconds=seconds, every=0.1)
    return (await resolved(world))[2]


async def version(world: World) -> str:
    """The resourceVersion of the Endpoints."""
    found = await world.get("web", kind=ENDPOINTS)
    assert found is not None
    return str(found["metadata"]["resourceVersion"])


@pytest.mark.stand_in
async def test_endpoints_follow_the_name(world: World, figures: Callable[..., None]) -> None:
    await world.apply(named())
    await world.until_published("web", ready(FIRST))
    told = (await world.status("web"))["addresses"]
    assert [(one["ip"], one["hostname"], one["reason"]) for one in told] == [
        (ip, NAME, "ProbeSucceeded") for ip in FIRST
    ]
    assert (await resolved(world))[:2] == ("True", "Resolved")
    serve(world, OTHERS)
    async with Follower(world.client, world.namespace, "web") as timeline:
        began = time.monotonic()
        world.hosts.know({NAME: Record(OTHERS, ttl=TTL)})
        await until(lambda: timeline.ready == ready(OTHERS), "the other addresses alone", seconds=30, every=0.02)
        followed = time.monotonic() - began
    figures(**{"followed after seconds": followed, "allowed": FOLLOWED_SECONDS})
    assert [moment.ready for moment in timeline.published if not any(moment.ready.values())] == []
    assert followed < FOLLOWED_SECONDS


async def test_new_unready_address_does_not_replace_a_ready_one(world: World) -> None:
    """The name moves to a host that is not up yet."""
    await world.apply(named())
    await world.until_published("web", ready(FIRST))
    world.hosts.know({NAME: Record(OTHERS[:1], ttl=TTL)})
    await world.until_published("web", ready((*FIRST, OTHERS[0]), but=OTHERS[:1]))
    await asyncio.sleep(1.5 * TTL)
    assert await world.published("web") == ready((*FIRST, OTHERS[0]), but=OTHERS[:1])
    serve(world, OTHERS[:1])
    await world.until_published("web", ready(OTHERS[:1]))


async def test_dns_outage_and_restart_change_nothing(world: World) -> None:
    await world.apply(named("10.0.103.20"))
    shown = ready(("10.0.103.20", *FIRST))
    await world.until_published("web", shown)
    before = await version(world)
    world.hosts.know_nothing()
    text = await until_resolved(world, "False", "LookupFailed", FAILED_SECONDS)
    assert text.startswith(f"{NAME}: ")
    assert LAST_KEPT in text
    mark = world.mark()
    await world.kill_sidecar()
    await world.start_sidecar()
    seen = await world.probes()

    async def probed() -> bool:
        return await world.probes() >= seen + 3 * len(shown)

    await until(probed, "probed again", seconds=30, every=0.1)
    assert (await world.published("web"), await version(world)) == (shown, before)
    assert world.writes(mark) == []
    world.hosts.know({NAME: Record(FIRST, ttl=TTL)})
    await until_resolved(world, "True", "Resolved", 90.0)
    assert (await world.published("web"), await version(world)) == (shown, before)


async def test_missing_name_is_reported_and_its_addresses_kept(world: World) -> None:
    await world.apply(named())
    await world.until_published("web", ready(FIRST))
    before = await version(world)
    gone = dict.fromkeys(("A", "AAAA"), "NXDOMAIN")
    world.hosts.know({NAME: Record(trouble=gone)})
    text = await until_resolved(world, "False", "NameNotFound")
    assert text == not_found(NAME, LAST_KEPT)
    assert (await world.published("web"), await version(world)) == (ready(FIRST), before)

    async def told() -> bool:
        found = (await world.client.get(EVENTS.path(world.namespace)))["items"]
        return ("Warning", text) in {(one["type"], one["note"]) for one in found if one["reason"] == "NameNotFound"}

    await until(told, "an Event", seconds=30)


async def test_removed_hostname_removes_addresses_without_sidecar(world: World) -> None:
    await world.apply(named("10.0.103.20"))
    await world.until_published("web", ready(("10.0.103.20", *FIRST)))
    await world.kill_sidecar()
    await world.patch("web", {"spec": {"hostnames": None}})
    await world.until_published("web", ready(["10.0.103.20"]))


async def test_resolved_addresses_are_limited_and_filtered(world: World) -> None:
    """Without a probe the resolved addresses are published as ready."""
    many = tuple(f"10.0.104.{number}" for number in range(100))
    parent = named()
    del parent["spec"]["readinessProbe"]
    await world.apply(parent)
    await world.until_published("web", ready(FIRST))
    world.hosts.know({NAME: Record((*many, "10.0.9.1"), ttl=TTL)})
    await world.until_published("web", ready(("10.0.9.1", *many[:63])))
    assert await until_resolved(world, "False", "TooManyAddresses") == too_many_addresses(NAME)
    world.hosts.know({NAME: Record(("10.0.103.10", "127.0.0.1", "169.254.169.254"), ttl=TTL)})
    await world.until_published("web", ready(OTHERS[:1]))
    told = {one["ip"]: one["reason"] for one in (await world.status("web"))["addresses"]}
    assert told == {"10.0.103.10": "NoProbe", "127.0.0.1": "Denied", "169.254.169.254": "Denied"}


@pytest.mark.world(settings={"ESO_DNS_SERVERS": "10.0.64.54:5353"})
async def test_unresponsive_dns_does_not_delay_probes(world: World) -> None:
    await world.apply(named("10.0.103.20"))
    await world.until_published("web", ready(["10.0.103.20"]))
    assert NONE_KNOWN in await until_resolved(world, "False", "LookupFailed", FAILED_SECONDS)


async def test_unreachable_address_family_can_be_excluded(world: World) -> None:
    """The IPv6 address of the name refuses connections."""
    ipv4 = [ip for ip in FIRST if ":" not in ip]
    await world.apply(named())
    world.hosts.switch([ip for ip in FIRST if ":" in ip], Mode.REFUSE)
    await world.until_published("web", ready(ipv4, but=[ip for ip in FIRST if ":" in ip]))
    await world.patch("web", {"spec": {"addressFamilies": ["IPv4"]}})
    await world.until_published("web", ready(ipv4))
    await until_resolved(world, "True", "Resolved")

    async def shown() -> bool:
        status = await world.status("web")
        return (status["ready"], status["summary"]) == ("2/2", "OK")

    await until(shown, "2/2 and OK", seconds=30)

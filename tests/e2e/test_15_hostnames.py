"""Endpoints follow a hostname, never without a ready address; failures of DNS change nothing.

Missing names, limits, families, unresponsive servers: tests/unit/probe_sidecar/hostnames/.
"""

import time
from typing import Any

from playground.addresses import stand_ins
from playground.backends import Protocol
from playground.client import ENDPOINTS
from playground.dns_server import Record
from tests.e2e.backends import Place
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.scenarios.timeline import followed
from tests.until import until, until_equal

NAME = "db.example.com"
FIRST = stand_ins(NAME)
"""The addresses of the name in a world: two of IPv4 and one of IPv6."""
OTHERS = ("10.0.103.10", "10.0.103.11", "2001:db8::103:10")
TTL = 5
FOLLOWED_SECONDS = 1.05 * TTL + 3.0
"""The TTL and 5% of jitter; then a lookup, a probe, a status write and a sync."""


async def resolved(world: World) -> tuple[str, ...]:
    """Status and reason of the condition."""
    return (await world.condition("web", "Resolved"))[:2]


async def shown(world: World) -> tuple[dict[str, bool], str]:
    """The published addresses, and the resourceVersion of the Endpoints."""
    found: dict[str, Any] = await world.get("web", kind=ENDPOINTS) or {}
    return dict(await world.published("web")), found["metadata"]["resourceVersion"]


async def test_endpoints_follow_the_name_and_outlive_dns(world: World) -> None:
    await world.apply(external_service("web", (), hostnames=[NAME]))
    await world.until_published("web", ready(FIRST))
    found = {ip: (one["hostname"], one["reason"]) for ip, one in (await world.addresses("web")).items()}
    assert found == dict.fromkeys(FIRST, (NAME, "ProbeSucceeded"))
    assert await resolved(world) == ("True", "Resolved")
    world.hosts.set([Place(ip, 8080, Protocol.HTTP) for ip in OTHERS])
    async with followed(world.client, world.namespace, "web") as timeline:
        began = time.monotonic()
        world.hosts.know({NAME: Record(OTHERS, ttl=TTL)})
        await until(lambda: timeline.ready == ready(OTHERS), "the other addresses alone", seconds=30, every=0.02)
        took = time.monotonic() - began
    assert [moment.ready for moment in timeline.published if not any(moment.ready.values())] == []
    assert took < FOLLOWED_SECONDS

    before = await shown(world)
    world.hosts.know_nothing()
    await until_equal(lambda: resolved(world), ("False", "LookupFailed"))
    mark, seen = world.mark(), await world.probes()
    await world.sidecar.kill()
    await world.sidecar.start()

    async def probed() -> bool:
        return await world.probes() >= seen + 3 * len(OTHERS)

    await until(probed, "each probed three times", seconds=30, every=0.1)
    assert (await shown(world), world.writes(mark)) == (before, [])

"""500 ExternalServices fail at once and are written as fast as the API server allows; no Lease is late."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest
import yaml

from playground.client import EXTERNAL_SERVICES, ApiClient, Kind
from playground.composite.informer import Informer
from probe_sidecar.replicas.replica import STOPPED
from tests.e2e import accounts
from tests.e2e.fleet import Fleet, quantiles
from tests.e2e.world import LEASES, World
from tests.until import until

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

Object = dict[str, Any]

LEASE = 15  # as shipped
COUNT = 500
TRUSTED = LEASE * 2 / 3
"""A replica stops working after this time without a renewal (ADR 10)."""

FLOW_SCHEMAS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"

EVENTS = Kind("events.k8s.io/v1", "events", "Event", namespaced=True)
REPORTER = "eso.crowdfox.com/prober"
EVENTS_AT_ONCE, EVENTS_A_SECOND = 50, 5  # docs/status.md


class Seen:
    """The times at which Leases were renewed, statuses written, and Events of a sidecar created, by watches."""

    def __init__(self) -> None:
        self.renewed: dict[str, list[float]] = defaultdict(list)
        self.told: dict[str, list[float]] = defaultdict(list)
        self.events: list[float] = []

    def lease(self, _old: Object | None, new: Object | None) -> None:
        """A change of any Lease is a renewal."""
        if new is not None:
            self.renewed[new["metadata"]["name"]].append(time.monotonic())

    def parent(self, old: Object | None, new: Object | None) -> None:
        """A higher revision is a write of a sidecar."""
        if old is not None and new is not None and _revision(old) < _revision(new):
            self.told[new["metadata"]["name"]].append(time.monotonic())

    def event(self, old: Object | None, new: Object | None) -> None:
        """A new Event of ours."""
        if old is None and new is not None and new.get("reportingController") == REPORTER:
            self.events.append(time.monotonic())

    def longest_gap(self, name: str, begin: float, end: float) -> float:
        """The times between two renewals of a Lease."""
        inside = [begin, *(at for at in self.renewed[name] if begin < at < end), end]
        return max(later - sooner for sooner, later in pairwise(inside))


def _revision(parent: Object) -> int:
    return int((parent.get("status") or {}).get("revision", 0))


@asynccontextmanager
async def watching(client: ApiClient) -> AsyncIterator[Seen]:
    seen = Seen()
    informers = (
        Informer(client, LEASES, seen.lease),
        Informer(client, EXTERNAL_SERVICES, seen.parent),
        Informer(client, EVENTS, seen.event),
    )
    tasks = [asyncio.create_task(informer.run()) for informer in informers]
    for informer in informers:
        await informer.synced.wait()
    yield seen
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.world(replicas=2, lease=LEASE)
async def test_outage_of_500_loses_no_lease(world: World, figures: Callable[..., None]) -> None:
    probe = {"periodSeconds": 2, "failureThreshold": 1}
    async with Fleet(world, COUNT, probe=probe) as fleet:
        await world.until_shared(fleet.names, "a", "b")
        async with watching(world.client) as seen:
            seen.events.clear()
            begun = fleet.kill(fleet.ips)
            await until(lambda: len(seen.told) == COUNT, "every status written", seconds=120, every=0.05)
            events = len(seen.events)
            published = await fleet.until_told(dict.fromkeys(fleet.ips, False), seconds=180)
            ended = time.monotonic()
            leases = [f"probe-sidecar-{world.pod(letter)}" for letter in "ab"]
            gaps = {name: seen.longest_gap(name, begun, ended) for name in leases}
            owners = await world.owners()
        first = sorted(times[0] for times in seen.told.values())
        assert all(len(owner) == 1 for owner in owners.values()), "still shared"
        complaints = [line for one in world.replicas.values() for line in one.complaints()]
        assert [line for line in complaints if STOPPED in line] == [], "a Lease was lost"
        assert max(gaps.values()) < TRUSTED
        assert [count for count, at in enumerate(seen.events, 1) if count > allowed(at - begun)] == [], (
            "too many Events"
        )
        assert [ip for _, ip, ready in fleet.flips(begun) if ready] == []
    median, last = quantiles(at - begun for at in first)
    figures(
        **{"status written after, p50": median, "all": last, "a second": COUNT / (first[-1] - first[0])},
        **{"all published, seconds more": published, "events by then": events},
        **{"longest way from renewal to renewal": max(gaps.values()), "due every": LEASE / 5},
        **{"renewals tried again": sum("not renewed" in line for line in complaints)},
    )


@pytest.mark.world
async def test_lease_priority_precedes_status_writes(world: World) -> None:
    (schema,) = yaml.safe_load_all((accounts.SHIPPED / "optional" / "lease-priority.yaml").read_text())
    namespace, _ = accounts.SIDECAR_ACCOUNT
    leases, parents = LEASES.path(namespace), EXTERNAL_SERVICES.path(world.namespace)
    async with world.api.http() as admin:
        before = await flows(admin, leases, parents)
        assert len(set(before)) == 1, "one flow of all that a sidecar asks"
        created = await world.client.create(FLOW_SCHEMAS, schema)
        try:

            async def first() -> bool:
                return await flows(admin, leases) == [created["metadata"]["uid"]]

            await until(first, "Leases in a flow of their own", seconds=30)
            assert await flows(admin, parents) == before[:1]
        finally:
            await world.client.delete(f"{FLOW_SCHEMAS}/{schema['metadata']['name']}")


async def flows(admin: httpx.AsyncClient, *paths: str) -> list[str]:
    """The uid of the FlowSchema of a sidecar's request, for each path."""
    sidecar = {"Impersonate-User": accounts.username(accounts.SIDECAR_ACCOUNT)}
    answers = [await admin.get(path, headers=sidecar) for path in paths]
    return [answer.raise_for_status().headers["X-Kubernetes-PF-FlowSchema-UID"] for answer in answers]


def allowed(seconds: float) -> float:
    """The most Events that two replicas may have written after some seconds."""
    return 2 * (EVENTS_AT_ONCE + EVENTS_A_SECOND * (seconds + 1))

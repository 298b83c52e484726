"""CoreDNS returns exactly the ready addresses within a second, and its clients send nothing to a dead one.

A transition is the moment at which a watch shows it in the status, before the work of the hook. DNS has followed with
the first right response after the last wrong one. Between the failure of a backend and that moment a client may still
get its address, later it may not.
"""

import asyncio
import itertools
import math
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.backends import Mode
from tests.e2e.client import Client, Request
from tests.e2e.controlplane.build import Binaries
from tests.e2e.coredns import Answer, CoreDns
from tests.e2e.manifests import external_service
from tests.e2e.slices import MANAGERS, Consumer, consuming
from tests.e2e.world import World
from tests.scenarios.machine import Machine, watched
from tests.scenarios.timeline import Follower, Timeline
from tests.until import until

FIRST, SECOND, SIX = "10.20.50.10", "10.20.50.11", "2001:db8::50"
IPS = frozenset({FIRST, SECOND, SIX})
PORT = 8080
DEAD = (frozenset({FIRST}), frozenset[str](), frozenset({SECOND, SIX}), IPS, frozenset[str]())
"""The dead addresses of each step."""
DEPARTURES = 4
FOLLOWED_SECONDS = 1.0
CALM_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Shown:
    """From `at` (time.monotonic) to `end` exactly these were ready."""

    at: float
    end: float
    ready: frozenset[str]


@pytest.fixture
async def dns(world: World, binaries: Binaries, tmp_path: Path) -> AsyncIterator[CoreDns]:
    """CoreDNS on the API server of the world."""
    server = CoreDns(binaries.coredns, world.api.admin_kubeconfig, tmp_path)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("Both", marks=pytest.mark.world(endpoints="Both")),
        pytest.param("Endpoints", marks=pytest.mark.world(endpoints="Endpoints")),
        pytest.param("EndpointSlice", marks=pytest.mark.world(endpoints="EndpointSlice")),
    ],
)
async def test_cluster_dns_follows_readiness(
    world: World, dns: CoreDns, form: str, figures: Callable[..., None]
) -> None:
    parent = external_service("web", sorted(IPS), port=PORT)
    parent["spec"]["readinessProbe"] |= {"failureThreshold": 1}
    await world.apply(parent)
    client = Client(dns, "web", world.namespace, PORT)
    async with (
        watched() as machine,
        Follower(world.client, world.namespace, "web") as timeline,
        consuming(world, "web") as consumer,
        asyncio.TaskGroup() as group,
    ):
        running = group.create_task(client.run())
        await _followed(client, timeline, IPS)
        for before, dead in itertools.pairwise((frozenset[str](), *DEAD)):
            world.hosts.switch(dead - before, Mode.REFUSE)
            world.hosts.switch(before - dead, Mode.HEALTHY)
            await _followed(client, timeline, IPS - dead)
            await asyncio.sleep(CALM_SECONDS)
            calm = client.since(time.monotonic() - CALM_SECONDS)
            assert {one.to for one in calm if one.served} == IPS - dead, "not all that are ready are asked, or answer"
        running.cancel()
    assert consumer.managers() == MANAGERS[form]
    reported, published = _told(timeline), _published(timeline, consumer, form)
    gone = _gone(reported)
    figures(**_lags("status", reported, client.requests), **_lags(form, published, client.requests))
    figures(departures=len(gone), **_met(gone, client))
    figures(
        **{
            "withheld by the machine in a second, max": max(_allowed(one.at, machine) for one in reported)
            - FOLLOWED_SECONDS
        }
    )
    for shown in (*reported, *published):
        wrong = _wrong_late(shown, client.requests, _allowed(shown.at, machine))
        assert wrong == [], f"not what was ready a second after {shown}"
    assert len(gone) == DEPARTURES
    strays = [_strays(ip, away, client.requests, _allowed(away.at, machine)) for ip, away in gone]
    assert strays == [[]] * DEPARTURES


async def _followed(client: Client, timeline: Timeline, wanted: frozenset[str]) -> None:
    def reported() -> bool:
        return {ip for ip, (is_ready, _) in timeline.status.items() if is_ready} == wanted and len(timeline.status) > 0

    await until(reported, f"the status with {sorted(wanted)} ready", seconds=60)
    await until(lambda: client.named() == wanted, f"the name of {sorted(wanted)}", seconds=60)


def _told(timeline: Timeline) -> list[Shown]:
    return _changes(
        (one.at, frozenset(ip for ip, (is_ready, _) in one.addresses.items() if is_ready)) for one in timeline.statuses
    )


def _published(timeline: Timeline, consumer: Consumer, form: str) -> list[Shown]:
    """With mirrored Endpoints, or with our own slices."""
    if form != "Endpoints":
        return _changes(consumer.changes)
    return _changes((one.at, frozenset(ip for ip in one.ready if one.ready[ip])) for one in timeline.published)


def _changes(states: Iterable[tuple[float, frozenset[str]]]) -> list[Shown]:
    firsts = [next(same) for _, same in itertools.groupby(states, key=lambda state: state[1])]
    ends = [*(at for at, _ in firsts[1:]), math.inf]
    return [Shown(at, end, ready) for (at, ready), end in zip(firsts, ends, strict=True)]


def _within(shown: Shown, requests: Sequence[Request]) -> list[Answer]:
    """The queries and responses of this period."""
    answers = (one.answer for one in requests)
    return [answer for answer in answers if shown.at <= answer.asked and answer.answered < shown.end]


def _allowed(at: float, machine: Machine) -> float:
    """Seconds that DNS may take to follow: one, and the lateness of the machine."""
    return FOLLOWED_SECONDS + machine.withheld(at, at + FOLLOWED_SECONDS)


def _wrong_late(shown: Shown, requests: Sequence[Request], allowed: float) -> list[Answer]:
    """Wrong responses to queries at times when DNS had to be right."""
    late = (answer for answer in _within(shown, requests) if answer.asked > shown.at + allowed)
    return [answer for answer in late if answer.addresses != shown.ready]


def _lag(shown: Shown, requests: Sequence[Request]) -> float:
    """Seconds to the first right response after the last wrong one."""
    within = _within(shown, requests)
    wrong = max((one.asked for one in within if one.addresses != shown.ready), default=shown.at)
    right = (one.answered for one in within if one.asked >= wrong and one.addresses == shown.ready)
    return min(right, default=math.inf) - shown.at


def _lags(source: str, states: Sequence[Shown], requests: Sequence[Request]) -> dict[str, float]:
    """For the states that lasted longer than DNS may take."""
    lags = [_lag(shown, requests) for shown in states[1:] if shown.end - shown.at > FOLLOWED_SECONDS]
    kinds = {"p50": statistics.median(lags), "max": max(lags), "of": len(lags)}
    return {f"{source} to answer, {kind}": value for kind, value in kinds.items()}


def _gone(reported: Sequence[Shown]) -> list[tuple[str, Shown]]:
    """Each address that leaves, and the period of its absence."""
    found = []
    for number, (before, after) in enumerate(itertools.pairwise(reported), start=1):
        for ip in before.ready - after.ready:
            back = next((later.at for later in reported[number:] if ip in later.ready), math.inf)
            found.append((ip, Shown(after.at, back, after.ready)))
    return found


def _to_it(ip: str, away: Shown, requests: Sequence[Request]) -> list[Request]:
    """Requests to it that began after the status reported it."""
    return [one for one in requests if one.to == ip and away.at <= one.answer.asked and one.answer.answered < away.end]


def _met(gone: Sequence[tuple[str, Shown]], client: Client) -> dict[str, float]:
    """The results of the client: most failures are from before a probe detected the failure."""
    reported = sum(len(_to_it(*departure, client.requests)) for departure in gone)
    counted = {"requests": len(client.requests), "failed": len(client.failed), "after the status reported": reported}
    return {**counted, "requests a second": client.rate}


def _strays(ip: str, away: Shown, requests: Sequence[Request], allowed: float) -> list[Request]:
    """Those of them that began after DNS had, or should have, left it out."""
    without = (one.answered for one in _within(away, requests) if ip not in one.addresses)
    transition = min((away.at + allowed, *without))
    return [one for one in _to_it(ip, away, requests) if one.answer.asked > transition]

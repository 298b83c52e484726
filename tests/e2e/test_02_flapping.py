"""After flapping, mass outages and stale writes no result is lost or wrong, and none is published again."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from external_service.v1alpha1 import STALE_STATUS
from playground.client import EXTERNAL_SERVICES, Refused, readiness
from tests.e2e.api import StandInApi, Unsupported
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.scenarios.flap import Flapping, flap
from tests.until import until

Object = dict[str, Any]

DEFAULT_LIMITS: dict[str, Any] = {"qps": 5.0, "burst": 10}
"""Metacontroller's own --client-go-qps and --client-go-burst."""
KNOWN_ERRORS = (STALE_STATUS, "context canceled")
"""The refusals of the guard, and requests that end with Metacontroller where `World.limit` restarts it."""
CALM_SECONDS = 3.0
SETTLE_SECONDS = 120.0
SWITCHED_SECONDS = 6.0
"""3 s on an idle machine."""


@pytest.mark.kubernetes("loop")
@pytest.mark.world(control=True)
async def test_flapping_publishes_every_last_state(world: World, figures: Callable[..., None]) -> None:
    await _flap(world, figures)


@pytest.mark.world(control=True, **DEFAULT_LIMITS)
async def test_flapping_at_default_limits_publishes_every_last_state(
    world: World, figures: Callable[..., None]
) -> None:
    """With seconds between Metacontroller's read and its write."""
    await _flap(world, figures)


async def _flap(world: World, figures: Callable[..., None]) -> None:
    transitions = 300 if world.api.kind == "real" else 60
    report = await flap(world, Flapping(transitions=transitions, addresses=20, longest=0.1, settle=SETTLE_SECONDS))
    figures(report, **await _told(world))
    assert report.passed, report.as_lines()


@pytest.mark.nightly
@pytest.mark.stand_in
@pytest.mark.world(control=True, window=0.9, status_policy=False)
async def test_flapping_without_the_guard_is_detected(world: World) -> None:
    """The window is longer than the sidecar waits for Metacontroller to settle (status.publisher.SETTLE)."""
    if not isinstance(world.api, StandInApi):
        raise Unsupported("the guard is part of the CRD of a real API server")
    world.api.server.registry.guard = False
    report = await flap(world, Flapping(transitions=60, addresses=10, longest=0.1, window=0.9, settle=10))
    assert "older results stored again" in [check.name for check in report.checks if not check.passed]


@pytest.mark.kubernetes("loop")
@pytest.mark.world(qps=200.0, burst=400)
async def test_mass_outage_at_default_limits_is_published(world: World, figures: Callable[..., None]) -> None:
    """30 ExternalServices with 150 addresses, all failing within 3 s: a sidecar that wrote only once left 17 wrong."""
    parents = _parents(30, 5)
    await _all_ready(world, parents)
    await world.limit(**DEFAULT_LIMITS)
    await _calm(world)
    await _outage(world, parents, figures, seconds=120)


@pytest.mark.world(qps=200.0, burst=400)
@pytest.mark.nightly
async def test_mass_outage_of_200_at_raised_limits_is_published(world: World, figures: Callable[..., None]) -> None:
    parents = _parents(200, 5, period=2)
    await _all_ready(world, parents)
    await _calm(world)
    await _outage(world, parents, figures, seconds=120)


def _parents(count: int, addresses: int, period: int = 1) -> list[Object]:
    made = []
    for number in range(count):
        ips = [f"10.20.{number}.{last}" for last in range(1, addresses + 1)]
        one = external_service(f"mass-{number}", ips)
        one["spec"]["readinessProbe"] |= {"periodSeconds": period, "failureThreshold": 1}
        made.append(one)
    return made


async def _all_ready(world: World, parents: list[Object]) -> None:
    await asyncio.gather(*(world.apply(parent) for parent in parents))
    await until(lambda: _settled(world, parents, up=True), "all ready", seconds=180, every=0.5)


async def _outage(world: World, parents: list[Object], figures: Callable[..., None], seconds: float) -> None:
    mark, start = world.mark(), time.monotonic()
    victims = [ip for number in range(5) for parent in parents for ip in parent["spec"]["ips"][number : number + 1]]
    for begin in range(0, len(victims), len(victims) // 25):  # 25 steps of 120 ms: all of them within 3 s
        world.hosts.switch(victims[begin : begin + len(victims) // 25], Mode.REFUSE)
        await asyncio.sleep(max(0.0, start + 0.12 * (begin // (len(victims) // 25) + 1) - time.monotonic()))
    switched = time.monotonic() - start
    await until(lambda: _settled(world, parents, up=False), "all published as failed", seconds=seconds, every=0.1)
    published = time.monotonic() - start
    await _calm(world)
    wrong = await _wrong(world, parents, up=False)
    writes = world.writes(mark)
    sidecar = sum(write.user == "sidecar" for write in writes)
    figures(
        **{"addresses": len(victims), "switched off within": switched, "published after seconds": published},
        **{"wrong at the end": len(wrong), "writes of the sidecar": sidecar, "writes by all": len(writes)},
        **{"stale status writes refused": world.refused(mark), **await _told(world)},
    )
    assert wrong == []
    assert switched < SWITCHED_SECONDS, "too slow to be one outage"


async def _settled(world: World, parents: list[Object], *, up: bool) -> bool:
    return not await _wrong(world, parents, up=up)


async def _wrong(world: World, parents: list[Object], *, up: bool) -> list[str]:
    """The addresses whose published state, or whose state in the status, is not `up`."""
    found = (await world.client.get(f"/api/v1/namespaces/{world.namespace}/endpoints"))["items"]
    published = {one["metadata"]["name"]: readiness(one) for one in found}
    owners = (await world.client.get(EXTERNAL_SERVICES.path(world.namespace)))["items"]
    told = {
        one["metadata"]["name"]: {each["ip"]: each["ready"] for each in one.get("status", {}).get("addresses", ())}
        for one in owners
    }
    return [
        ip
        for parent in parents
        for ip in parent["spec"]["ips"]
        for where in (published, told)
        if where.get(parent["metadata"]["name"], {}).get(ip) is not up
    ]


async def _calm(world: World) -> None:
    async def holds() -> bool:
        mark = world.mark()
        await asyncio.sleep(CALM_SECONDS)
        return not world.writes(mark)

    await until(holds, "calm", seconds=120)


async def _told(world: World) -> dict[str, int]:
    """The refused writes since the first creation, the SyncError Events about them, and the counts of these Events.

    No Event has another cause. client-go counts equal Events on one object, and writes at most 25 about one object.
    """
    events = await world.sync_errors()
    messages = [event["message"] for event in events]
    assert [message for message in messages if not any(known in message for known in KNOWN_ERRORS)] == []
    counted = sum(event.get("count") or 1 for event in events)
    return {"refused since creation": world.refused(world.began), "SyncError events": len(events), "counting": counted}


@pytest.mark.stand_in
@pytest.mark.world(status_policy=False)
async def test_stale_status_write_is_refused_with_a_message(world: World) -> None:
    parent = external_service("web", ["10.0.100.10"])
    await world.apply(parent)
    await world.until_published("web", {"10.0.100.10": True})
    stale = await world.get("web")
    assert stale is not None
    world.hosts.switch("10.0.100.10", Mode.REFUSE)
    await world.until_published("web", {"10.0.100.10": False})
    live = await world.get("web")
    assert live is not None
    with pytest.raises(Refused) as refused:
        await world.client.replace(
            EXTERNAL_SERVICES.path(world.namespace, "web", "status"), {**live, "status": stale["status"]}
        )
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert STALE_STATUS in refused.value.message
    assert await world.status("web") == live["status"]


@pytest.mark.world(status_policy=False)
async def test_stale_kubectl_edit_is_refused(world: World, tmp_path: Path) -> None:
    await world.apply(external_service("web", ["10.0.100.10"]))
    await world.until_published("web", {"10.0.100.10": True})
    revision = (await world.status("web"))["revision"]
    editor, shown = tmp_path / "editor", tmp_path / "shown"
    editor.write_text(f'#!/bin/sh\ncat "$1" >>{shown}\nsed -i \'s/^  revision: .*/  revision: 0/\' "$1"\n')
    editor.chmod(0o755)
    command = ("edit", "externalservice", "web", f"--namespace={world.namespace}", "--subresource=status")
    done = await world.kubectl(*command, EDITOR=str(editor), TMPDIR=str(tmp_path))
    assert done.returncode == 1, done.stdout
    opened_again = " ".join(line.lstrip("# ") for line in shown.read_text().splitlines() if line.startswith("#"))
    assert STALE_STATUS in opened_again, done.stderr
    assert (await world.status("web"))["revision"] == revision

"""restart: the sidecar is killed and started, with all healthy and with one address down; nothing flips or is told."""

import asyncio
import time
from typing import Any

from playground.backends import Mode
from playground.cluster import Cluster
from playground.report import Report
from playground.scenarios.bounds import Bounds, bounds_of
from playground.timeline import Follower, Timeline
from playground.until import until

Object = dict[str, Any]

DOWN_SECONDS = 1.0


async def restart(cluster: Cluster, manifest: Object) -> Report:
    """Kills and starts it twice; each time it must have probed every address failureThreshold + 1 times again."""
    report = Report("restart")
    parent = await cluster.apply(manifest)
    meta, ips = parent["metadata"], list(dict.fromkeys(parent["spec"]["ips"]))
    bounds, victim = bounds_of(parent["spec"]["readinessProbe"]), ips[-1]
    async with Follower(cluster.client, meta["namespace"], meta["name"]) as timeline:
        await _until_published(timeline, dict.fromkeys(ips, True), bounds.returns + 30)
        await _restarted(cluster, timeline, bounds, report, "all healthy")
        await cluster.set_backend(victim, Mode.REFUSE)
        down = dict.fromkeys(ips, True) | {victim: False}
        await _until_published(timeline, down, bounds.leaves + 10)
        await _restarted(cluster, timeline, bounds, report, "one down")
        await _dies_while_nobody_looks(cluster, timeline, bounds, ips, report)
    return report


async def _restarted(cluster: Cluster, timeline: Timeline, bounds: Bounds, report: Report, when: str) -> None:
    before, mark, start = dict(timeline.status), cluster.mark(), time.monotonic()
    await cluster.kill_sidecar()
    await asyncio.sleep(DOWN_SECONDS)
    await cluster.start_sidecar()
    enough = len(before) * (bounds.failure + 1)
    await until(lambda: _probed(cluster, enough), f"{enough} probes", seconds=(bounds.failure + 3) * bounds.period + 20)
    report.equal(f"{when}: changes of Endpoints", len(timeline.since(start)), 0)
    report.equal(f"{when}: the status is what it was", dict(timeline.status) == before, True)
    report.equal(f"{when}: writes", len(cluster.writes(mark)), 0)


async def _dies_while_nobody_looks(
    cluster: Cluster, timeline: Timeline, bounds: Bounds, ips: list[str], report: Report
) -> None:
    """An address that dies while the sidecar is away leaves on full evidence, not at first sight."""
    first = ips[0]
    await cluster.kill_sidecar()
    await cluster.set_backend(first, Mode.REFUSE)
    await asyncio.sleep(DOWN_SECONDS)
    start = time.monotonic()
    await cluster.start_sidecar()
    await until(lambda: timeline.ready.get(first) is False, f"{first} out", seconds=2 * bounds.leaves + 20, every=0.005)
    left = timeline.since(start)[0].at - start
    report.at_least("died meanwhile: leaves no sooner than seconds", left, (bounds.failure - 1) * bounds.period)


async def _until_published(timeline: Timeline, wanted: dict[str, bool], seconds: float) -> None:
    await until(lambda: timeline.ready == wanted, f"published {wanted}", seconds=seconds)


async def _probed(cluster: Cluster, enough: int) -> bool:
    return await cluster.probes() >= enough

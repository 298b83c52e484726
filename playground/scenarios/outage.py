"""outage: one of two addresses dies and recovers; it leaves in time, returns on evidence, and the other never moves."""

import time
from typing import Any

from playground.backends import Mode
from playground.client import Kind, Refused
from playground.cluster import ENDPOINTS, INGRESSES, SERVICES, Cluster
from playground.machine import watched
from playground.report import Report
from playground.scenarios.bounds import bounds_of
from playground.timeline import Follower, Timeline
from playground.until import until

Object = dict[str, Any]


async def outage(cluster: Cluster, manifest: Object, *, mode: Mode = Mode.REFUSE) -> Report:
    """Runs it with the last address of `manifest`; raises Late if the start does not come about."""
    report = Report("outage")
    parent = await cluster.apply(manifest)
    namespace, name = parent["metadata"]["namespace"], parent["metadata"]["name"]
    ips = list(dict.fromkeys(parent["spec"]["ips"]))
    bounds, victim = bounds_of(parent["spec"]["readinessProbe"]), ips[-1]
    async with Follower(cluster.client, namespace, name) as timeline, watched() as machine:
        start = await until(lambda: _all_ready(timeline, ips), "all addresses ready", seconds=bounds.returns + 30)
        report.figures["ready after seconds"] = round(start, 3)
        report.equal("children", await _children(cluster, parent), _wanted(parent))
        began = time.monotonic()
        await cluster.set_backend(victim, mode)
        left = await _when(timeline, victim, ready=False, seconds=2 * bounds.leaves + 5)
        report.at_most("leaves after seconds", left, round(bounds.leaves + machine.withheld_since(left), 3))
        seen = await cluster.requests(victim)
        await cluster.set_backend(victim, Mode.HEALTHY)
        back = await _when(timeline, victim, ready=True, seconds=2 * bounds.returns + 5)
        report.at_most("returns after seconds", back, round(bounds.returns + machine.withheld_since(back), 3))
        report.at_least("probes seen before it returns", await cluster.requests(victim) - seen, bounds.success)
        moved = sum(not moment.ready.get(ip) for moment in timeline.since(began) for ip in ips if ip != victim)
        report.equal("times that another address was not ready", moved, 0)
        flips = [moment.ready[victim] for moment in timeline.since(began)]
        report.equal("what was published of it", flips, [False, True])
    return report


def _all_ready(timeline: Timeline, ips: list[str]) -> bool:
    return all(timeline.ready.get(ip) for ip in ips)


async def _when(timeline: Timeline, ip: str, *, ready: bool, seconds: float) -> float:
    """Seconds from now until the address is published so."""
    start = time.monotonic()
    await until(
        lambda: timeline.ready.get(ip) is ready, f"{ip} {'back' if ready else 'out'}", seconds=seconds, every=0.005
    )
    return next(moment.at for moment in timeline.since(start - 0.05) if moment.ready.get(ip) is ready) - start


def _wanted(parent: Object) -> list[str]:
    return ["Service", "Endpoints", *(["Ingress"] if parent["spec"].get("hosts") else [])]


async def _children(cluster: Cluster, parent: Object) -> list[str]:
    found = [await _there(cluster, kind, parent) for kind in (SERVICES, ENDPOINTS, INGRESSES)]
    return [kind for kind in found if kind]


async def _there(cluster: Cluster, kind: Kind, parent: Object) -> str:
    meta = parent["metadata"]
    try:
        return str((await cluster.client.get(kind.path(meta["namespace"], meta["name"])))["kind"])
    except Refused:
        return ""

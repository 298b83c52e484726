"""The loop on a real control plane: etcd, kube-apiserver, controller-manager, and the composite controller.

    python -m bench.loop transition          from a result of the sidecar to stored Endpoints, beside a status PATCH
    python -m bench.loop outage --qps 5 20   how long Metacontroller takes to publish that 200 ExternalServices are down
                                          (--forms: values of ESO_ENDPOINTS)
    python -m bench.loop sync                CPU time of hook and Metacontroller for the same syncs
    (each with --json)

It runs where `make e2e` does (Go, root), in a network of its own, and takes the control plane from ESO_E2E_CACHE.
METACONTROLLER_BIN and METACONTROLLER_CRDS bring the real Metacontroller; without them the stand-in takes its part.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, get_args

from tabulate import tabulate

from bench.report import cpu_seconds, machine
from external_service.kind import EndpointsForm
from playground.client import ENDPOINT_SLICES, ENDPOINTS, EXTERNAL_SERVICES, Kind, readiness
from tests.e2e import accounts, namespace
from tests.e2e.backends import Mode
from tests.e2e.conftest import metacontroller_definitions
from tests.e2e.controlplane.build import build
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.hosts import Hosts
from tests.e2e.manifests import external_service
from tests.e2e.process import Sidecar, plain_client
from tests.e2e.real_api import RealApi
from tests.e2e.world import Setup, World, real_metacontroller
from tests.until import until

Object = dict[str, Any]
Figures = list[dict[str, Any]]

CALM: dict[str, Any] = {"qps": 200.0, "burst": 400}
INJECT_SECONDS = 30.0
WARM_UP = 5
CALM_SECONDS = 1.0
"""Before each transition: after a change of the object, the prober waits for the syncs that follow (ADR 2). Before each
PATCH alone, too: what has slept is slower.
"""
SYNC_SECONDS = 20.0
A, B = "10.0.100.10", "10.0.100.11"


@contextmanager
def real_cluster(directory: Path) -> Iterator[tuple[RealApi, Hosts]]:
    """A control plane and test hosts, sealed off."""
    binaries = build()
    audited = [account[0] for account in accounts.ACCOUNTS]
    hosts = Hosts(directory)
    with namespace.sealed(), ControlPlane(binaries, directory / "plane", audited_namespaces=audited) as plane:
        api = RealApi(plane.admin_kubeconfig, directory, plane)
        api.install(*metacontroller_definitions())
        hosts.start()
        try:
            yield api, hosts
        finally:
            hosts.stop()


@asynccontextmanager
async def world(api: RealApi, hosts: Hosts, directory: Path, **setup: Any) -> AsyncIterator[World]:
    """Hook, sidecar and composite controller as processes."""
    async with World(api, hosts, directory, Setup(**CALM, **setup), real_metacontroller()) as made:
        yield made


@asynccontextmanager
async def controlled(made: World, directory: Path) -> AsyncIterator[Sidecar]:
    """A sidecar with a control port in place of that of the world."""
    await made.sidecar.stop()
    access = made.api.kubeconfig(accounts.SIDECAR_ACCOUNT)
    sidecar = Sidecar(directory, access, module="bench.controlled", name="controlled")
    await sidecar.start()
    try:
        yield sidecar
    finally:
        await sidecar.stop()


async def transition(api: RealApi, hosts: Hosts, directory: Path, options: argparse.Namespace) -> Figures:
    """Milliseconds from a result of an object at rest to the Endpoints, by a watch; then of a status PATCH alone."""
    async with world(api, hosts, directory) as made, controlled(made, directory) as control:
        parent = external_service("web", [A, B])
        parent["spec"]["readinessProbe"]["periodSeconds"] = 3_600  # no probe may take back what is injected
        created = await made.apply(parent)
        await made.until_published("web", {A: True, B: True})
        await asyncio.sleep(2)
        loop = [await _turn(made, control, created["metadata"]["uid"], ready) for ready in _flips(options.repeat)]
        await control.kill()
        await made.composite.stop()
        patches = [await _patch(made, ready) for ready in _flips(options.repeat)]
    alone = statistics.median(patches[WARM_UP:])
    rows = (("result to Endpoints stored", loop[WARM_UP:]), ("status PATCH alone", patches[WARM_UP:]))
    return [
        {"what": what, **_quantiles(values), "x PATCH": round(statistics.median(values) / alone, 2)}
        for what, values in rows
    ]


def _flips(count: int) -> list[bool]:
    return [number % 2 == 1 for number in range(count + WARM_UP)]


async def _turn(made: World, control: Sidecar, uid: str, ready: bool) -> float:
    path = ENDPOINTS.path(made.namespace)
    listed = await made.client.get(path)
    seen = asyncio.create_task(_stored(made, path, listed["metadata"]["resourceVersion"], ready))
    await asyncio.sleep(CALM_SECONDS)
    result = {
        "ip": A,
        "ready": ready,
        "reason": "ProbeSucceeded" if ready else "ProbeFailed",
        "message": "told",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    began = await _inject(control, uid, [result])
    return (await asyncio.wait_for(seen, 30) - began) * 1e3


async def _inject(control: Sidecar, uid: str, results: list[Object]) -> float:
    """Injects results as from the prober. Returns the time by the monotonic clock."""
    url = re.findall(r"^control (http://\S+)$", control.log(), re.MULTILINE)[-1]
    async with plain_client(url, INJECT_SECONDS) as client:
        answer = await client.post("/results", json={"uid": uid, "addresses": results})
    return float(answer.raise_for_status().json()["takenAt"])


async def _stored(made: World, path: str, version: str, ready: bool) -> float:
    async for event in made.client.watch(path, version, seconds=60):
        if event["object"]["metadata"]["name"] == "web" and readiness(event["object"]).get(A) is ready:
            return monotonic()
    raise SystemExit("the watch ended")


async def _patch(made: World, ready: bool) -> float:
    status = await made.status("web")
    first, *others = status["addresses"]
    change = {"revision": status["revision"] + 1, "addresses": [{**first, "ready": ready}, *others]}
    await asyncio.sleep(CALM_SECONDS)
    began = monotonic()
    await made.client.patch(EXTERNAL_SERVICES.path(made.namespace, "web", "status"), {"status": change})
    return (monotonic() - began) * 1e3


async def outage(api: RealApi, hosts: Hosts, directory: Path, options: argparse.Namespace) -> Figures:
    """Seconds until no address is ready in slices and in Endpoints, after all have gone.

    For each form and each --client-go-qps (--client-go-burst: twice that).
    """
    figures = []
    for form in options.forms:
        async with world(api, hosts, directory, endpoints=form) as made:
            figures += [row async for row in _outages(made, hosts, options)]
    return figures


async def _outages(made: World, hosts: Hosts, options: argparse.Namespace) -> AsyncIterator[dict[str, Any]]:
    parents = [external_service(f"mass-{n}", [f"10.20.{n}.1"]) for n in range(options.crs)]
    ips = [parent["spec"]["ips"][0] for parent in parents]
    kinds = [ENDPOINT_SLICES] if made.setup.endpoints == "EndpointSlice" else [ENDPOINT_SLICES, ENDPOINTS]
    for parent in parents:
        parent["spec"]["readinessProbe"] |= {"failureThreshold": 1}
        await made.apply(parent)
    await _ready_in(made, kinds, options.crs)
    for qps in options.qps:
        await made.limit(float(qps), 2 * qps)
        await asyncio.sleep(options.calm + 3 * options.crs / qps)  # after its restart it syncs all, within its limit
        began = monotonic()
        hosts.switch(ips, Mode.REFUSE)
        told = asyncio.create_task(_clocked(began, _told(made, options.crs)))
        published = [asyncio.create_task(_clocked(began, _ready_in(made, [kind], 0))) for kind in kinds]
        row = {"ESO_ENDPOINTS": made.setup.endpoints, "--client-go-qps": qps, "statuses written (s)": await told}
        row |= {f"{kind.kind} (s)": await seconds for kind, seconds in zip(kinds, published, strict=True)}
        print(row, file=sys.stderr, flush=True)
        yield row
        await made.limit(**CALM)
        hosts.switch(ips, Mode.HEALTHY)
        await _ready_in(made, kinds, options.crs)


SYNCED = ((10, 50), (1_000, 2))
"""Addresses of an ExternalService, and how many of these, each synced once a second."""


async def sync(api: RealApi, hosts: Hosts, directory: Path, options: argparse.Namespace) -> Figures:
    """CPU milliseconds (user and system) for one sync in which nothing changes."""
    figures = []
    async with world(api, hosts, directory, resync=1) as made:
        for size, count in SYNCED:
            ips = [f"10.20.{n // 250}.{n % 250 + 1}" for n in range(size)]
            for number in range(count):
                await made.apply(external_service(f"synced-{number}", ips))
            await until(partial(_all_ready, made, size, count), f"{size} ready", seconds=120, every=1)
            figures += [await _cpu_of_syncs(made, size) for _ in range(options.repeat)]
            for number in range(count):
                await made.delete(f"synced-{number}")
    return figures


async def _all_ready(made: World, size: int, count: int) -> bool:
    found = (await made.client.get(EXTERNAL_SERVICES.path(made.namespace)))["items"]
    return [one.get("status", {}).get("ready") for one in found] == [f"{size}/{size}"] * count


async def _cpu_of_syncs(made: World, size: int) -> dict[str, Any]:
    pids = [one.component.pid for one in (made.hook, made.composite)]
    before, syncs = [cpu_seconds(pid) for pid in pids], made.syncs()
    await asyncio.sleep(SYNC_SECONDS)
    count = made.syncs() - syncs
    hook, composite = ((cpu_seconds(pid) - first) / count * 1e3 for pid, first in zip(pids, before, strict=True))
    costs = {"hook ms": round(hook, 2), "Metacontroller ms": round(composite, 2)}
    return {"addresses": size, "syncs": count, **costs, "ratio": round(hook / composite, 2)}


async def _clocked(began: float, what: Awaitable[None]) -> float:
    await what
    return round(monotonic() - began, 1)


async def _ready_in(made: World, kinds: list[Kind], count: int) -> None:
    """Waits until so many addresses are ready in the objects of each kind."""

    async def holds() -> bool:
        found = [(await made.client.get(kind.path(made.namespace)))["items"] for kind in kinds]
        return [sum(map(_count_ready, items)) for items in found] == [count] * len(kinds)

    await until(holds, f"{count} ready in {[kind.kind for kind in kinds]}", seconds=400, every=0.2)


def _count_ready(one: Object) -> int:
    if "addressType" in one:
        return sum(endpoint["conditions"].get("ready") is not False for endpoint in one["endpoints"] or ())
    return sum(readiness(one).values())


async def _told(made: World, count: int) -> None:
    async def holds() -> bool:
        found = (await made.client.get(EXTERNAL_SERVICES.path(made.namespace)))["items"]
        return [one["status"].get("ready") for one in found] == ["0/1"] * count

    await until(holds, f"{count} statuses", seconds=400, every=0.2)


def _quantiles(values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    at = {"p50 ms": 0.5, "p90 ms": 0.9, "max ms": 1.0}
    return {"n": len(values)} | {
        name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 1) for name, share in at.items()
    }


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("transition", "outage", "sync"))
    parser.add_argument("--repeat", type=int, default=40, help="transitions, or windows of syncs")
    parser.add_argument("--qps", type=int, nargs="+", default=[5, 20, 50, 100])
    parser.add_argument("--forms", nargs="+", default=list(get_args(EndpointsForm)), help="values of ESO_ENDPOINTS")
    parser.add_argument("--crs", type=int, default=200, help="ExternalServices of the outage, 250 at most")
    parser.add_argument("--calm", type=float, default=5.0, help="seconds of rest before each outage")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    work = {"transition": transition, "outage": outage, "sync": sync}[options.what]
    with tempfile.TemporaryDirectory(prefix="eso-") as directory, real_cluster(Path(directory)) as (api, hosts):
        figures = asyncio.run(work(api, hosts, Path(directory), options))
    if options.json:
        print(json.dumps({"machine": machine(), "figures": figures}, indent=1))
    else:
        print(tabulate(figures, headers="keys"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

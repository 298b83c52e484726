"""Cost of one transition: computing the status of an ExternalService, and reporting a mass outage.

    python -m bench.status [--addresses 5 100 1000] [--objects 500] [--repeat 50] [--json]

First the work of the sidecar's event loop alone, in ms, for one object: `silent` is an evaluation that finds nothing to
tell, `one` and `all` are evaluations after which one address or all of them have turned, each with the patch that
follows. Then `--objects` objects of 5 addresses go down at once, and are written to the playground's API server, which
runs in a process of its own: how long until each is stored, and how long the loop was held at most. Its speed is not
that of a real API server; what the loop was held is ours.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import httpx
import orjson
from tabulate import tabulate

from external_service.kind import API_VERSION, GROUP, KIND, PLURAL, VERSION
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from playground.apiserver.server import FakeApiServer
from probe_sidecar.kube.client import KubeClient, Resource, Selection
from probe_sidecar.kube.reflector import Reflector
from probe_sidecar.status.desired import desired_status
from probe_sidecar.status.patch import patch
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status.stored import StoredStatus
from probe_sidecar.status.writer import StatusWriter

Object = dict[str, Any]
Results = dict[str, AddressStatus]

POLICY = AddressPolicy()
BEFORE, AFTER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
RESOURCE = Resource(GROUP, VERSION, PLURAL)
ADDRESSES_OF_ONE = 5


def addresses(number: int) -> list[str]:
    """That many addresses of 10.0.0.0/8."""
    return [f"10.0.{place // 250}.{place % 250 + 1}" for place in range(number)]


def spec(ips: list[str]) -> Object:
    """An ExternalService of these, probed over HTTP."""
    return {"port": 80, "ips": ips, "readinessProbe": {"httpGet": {"port": 80}}}


def up(ip: str) -> AddressStatus:
    """The result of a probe that succeeded."""
    return AddressStatus(ip=ip, ready=True, reason="ProbeSucceeded", message="HTTP 200", lastTransitionTime=BEFORE)


def down(ip: str) -> AddressStatus:
    """The result of a probe that failed."""
    return AddressStatus(
        ip=ip, ready=False, reason="ProbeFailed", message="timed out after 1 s connecting", lastTransitionTime=AFTER
    )


def median_ms(work: Callable[[], object], repeat: int) -> float:
    """The median duration of `work`, in ms."""
    took = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1_000


def evaluations(number: int, repeat: int) -> Object:
    """One row: what an evaluation and its patch take with that many addresses, in ms."""
    ips = addresses(number)
    wish, healthy = ExternalServiceSpec.model_validate(spec(ips)), {ip: up(ip) for ip in ips}
    raw: Object = {"metadata": {"name": "web", "generation": 1, "resourceVersion": "7"}}
    raw["status"] = orjson.loads(orjson.dumps(desired_status(StoredStatus.read(raw), wish, healthy, POLICY, BEFORE)))

    def evaluate(results: Mapping[str, AddressStatus]) -> list[Object]:
        return patch(raw, desired_status(StoredStatus.read(raw), wish, results, POLICY, AFTER))

    one, all_of_them = healthy | {ips[-1]: down(ips[-1])}, {ip: down(ip) for ip in ips}
    return {
        "addresses": number,
        "silent": median_ms(lambda: evaluate(healthy), repeat),
        "one": median_ms(lambda: evaluate(one), repeat),
        "all": median_ms(lambda: evaluate(all_of_them), repeat),
        "operations of one": len(evaluate(one)),
    }


def serve(door: Connection, objects: int) -> None:
    """The API server, in its own process, until the other end closes."""
    asyncio.run(_serve(door, objects))


async def _serve(door: Connection, objects: int) -> None:
    async with FakeApiServer() as server:
        for number in range(objects):
            meta = {"namespace": "default", "name": f"cr-{number}"}
            body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta}
            server.create(body | {"spec": spec(addresses(ADDRESSES_OF_ONE))})
        door.send(server.url)
        await asyncio.to_thread(door.recv)


class Outage:
    """Publishes for all objects of a server, and sees when each of them is reported."""

    def __init__(self, client: KubeClient) -> None:
        self.wish = ExternalServiceSpec.model_validate(spec(addresses(ADDRESSES_OF_ONE)))
        self.results: Results = {ip: up(ip) for ip in self.wish.ips}
        self.seen: dict[str, Object] = {}
        self.held = 0.0
        self.probing = False
        self.publisher = StatusPublisher(asyncio.get_running_loop(), client, RESOURCE)
        self.writers: dict[str, StatusWriter] = {}
        self.reflector = Reflector(client, Selection(RESOURCE), self.observe)

    def wanted(self, raw: Object) -> Object:
        """Wanted status, all objects having equal addresses."""
        return desired_status(StoredStatus.read(raw), self.wish, self.results, POLICY, AFTER)

    def observe(self, objects: Mapping[str, Object], changed: frozenset[str], _first: bool) -> None:
        """As the sidecar does."""
        for uid in changed:
            self.seen[uid] = objects[uid]
            if uid in self.writers:
                self.writers[uid].observe(objects[uid])
            else:
                self.writers[uid] = StatusWriter(self.publisher, self, objects[uid])
                self.writers[uid].mark()

    def written(self, before: Object, after: Object) -> None:
        """No Events here."""

    def superseded(self, raw: Object) -> None:
        """No other writer here."""

    def told(self, column: str) -> int:
        """Number of objects with that READY column."""
        return sum((raw.get("status") or {}).get("ready") == column for raw in self.seen.values())

    async def until(self, column: str, objects: int) -> float:
        """Seconds until all show it."""
        began = time.monotonic()
        while self.told(column) < objects:
            if time.monotonic() - began > 120:
                raise SystemExit(f"only {self.told(column)} of {objects} were reported in two minutes")
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def feel(self) -> None:
        """Measures for how long the loop is blocked."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            self.held = max(self.held, time.perf_counter() - before)
            await asyncio.sleep(0.001)


async def outage(url: str, objects: int) -> Object:
    """All addresses of all objects go down at once."""
    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=64)) as http:
        scene = Outage(KubeClient(http))
        tasks = [asyncio.create_task(work) for work in (scene.publisher.run(), scene.reflector.run(), scene.feel())]
        await scene.until(f"{ADDRESSES_OF_ONE}/{ADDRESSES_OF_ONE}", objects)
        await asyncio.sleep(0.5)
        scene.results, scene.held = {ip: down(ip) for ip in scene.wish.ips}, 0.0
        writes, cpu = scene.publisher.counters.writes, time.process_time()
        for writer in scene.writers.values():
            writer.mark()
        seconds = await scene.until(f"0/{ADDRESSES_OF_ONE}", objects)
        row = {
            "objects": objects,
            "seconds": seconds,
            "writes": scene.publisher.counters.writes - writes,
            "CPU ms a write": (time.process_time() - cpu) * 1_000 / objects,
            "loop held ms": scene.held * 1_000,
        }
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return row


def run_outage(objects: int) -> Object:
    """The outage, with the server in a process of its own."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, objects), daemon=True)
    server.start()
    try:
        return asyncio.run(outage(ours.recv(), objects))
    finally:
        ours.send("enough")
        server.join(10)
        server.kill()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.status", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--addresses", type=int, nargs="+", default=[5, 100, 1_000])
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [evaluations(number, options.repeat) for number in options.addresses]
    mass = run_outage(options.objects)
    if options.json:
        print(json.dumps({"evaluations": rows, "outage": mass}))
        return
    print(tabulate(rows, headers="keys", floatfmt=".3f"))
    print()
    print(tabulate([mass], headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()

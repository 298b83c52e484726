"""The whole sidecar (`python -m probe_sidecar` with watch, publisher and a scrape) against the stand-in API server.

Each row starts one on a cluster of so many ExternalServices, as after a restart, waits until each was probed once, and
measures it from outside: CPU and memory from /proc, lateness and failures from its own metrics.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench import build, targets
from bench.report import Run, cpu_seconds
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalService
from playground.apiserver.server import FakeApiServer
from probe_sidecar.status.desired import desired_status
from probe_sidecar.status.stored import StoredStatus

ROOT = Path(__file__).resolve().parents[1]
LONG_AGO = "2026-01-01T00:00:00Z"


class Plan(NamedTuple):
    """`crs` x `each` healthy addresses probed once in `period` seconds, and `black` more that do not respond to a SYN.

    With `leases` it is one of many replicas, though the others are not there.
    """

    crs: int
    each: int
    period: int
    seconds: float
    black: int = 0
    tick: int = 10
    cores: int = 2
    leases: bool = False


class Sample(NamedTuple):
    """Resources that a process has used, and its counters."""

    at: float
    cpu: float
    metrics: dict[str, float]
    lateness: dict[float, float]  # upper bound (s) -> how many

    def total(self, name: str, part: str = "") -> float:
        """The sum over the series of a metric whose labels contain `part`."""
        return sum(value for key, value in self.metrics.items() if key.partition("{")[0] == name and part in key)

    def false_failures(self, plan: Plan) -> float:
        """Failed probes of the healthy ones: their ExternalServices are the first."""
        healthy = {f"name=service-{index}" for index in range(plan.crs)}
        failed = ((key, value) for key, value in self.metrics.items() if key.startswith("eso_probe_total{"))
        return sum(value for key, value in failed if "result=failed" in key and healthy & set(key.split(",")))


def manifest(index: int, ips: list[str], port: int, period: int) -> dict[str, Any]:
    """One ExternalService."""
    probe = {"httpGet": {"port": port, "path": "/"}, "periodSeconds": period, "timeoutSeconds": 1}
    return {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": f"service-{index}", "namespace": "default"},
        "spec": {"port": port, "ips": ips, "readinessProbe": probe},
    }


def cluster(server: FakeApiServer, plan: Plan, port: int, hole: int) -> None:
    """All of the plan, as an earlier sidecar left it; black holes have ExternalServices of their own."""
    kinds = [(port, plan.crs * plan.each, 0), (hole, plan.black, plan.crs * plan.each)]
    count, key = 0, server.resource("ExternalService").key
    for to, many, first in kinds:
        ips = targets.addresses(many, first)
        for start in range(0, many, plan.each):
            made = server.create(manifest(count, ips[start : start + plan.each], to, plan.period))
            server.storage.put(key, {**made, "status": known(made, ready=to == port)})
            count += 1


def known(made: dict[str, Any], *, ready: bool) -> dict[str, Any]:
    """The status of an ExternalService whose addresses are all ready, or all not."""
    spec = ExternalService.model_validate(made).spec
    of = partial(
        AddressStatus,
        ready=ready,
        reason="ProbeSucceeded" if ready else "ProbeFailed",
        message="earlier",
        lastTransitionTime=LONG_AGO,
    )
    results = {ip: of(ip=ip) for ip in spec.ips}
    return desired_status(StoredStatus.read(made), spec, results, AddressPolicy(loopback=True), LONG_AGO)


@asynccontextmanager
async def sidecar(
    server: FakeApiServer,
    plan: Plan,
    *,
    command: Sequence[str] = ("-m", "probe_sidecar"),
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator["Process"]:
    """The real process with these settings; SIGTERM at the end. `command` is what Python runs."""
    environment = {
        **os.environ,
        "ESO_ALLOW_LOOPBACK": "true",
        "ESO_HEALTH_LISTEN_HOST": "127.0.0.1",
        "ESO_HEALTH_LISTEN_PORT": "0",
        "ESO_TICK_MILLISECONDS": str(plan.tick),
        "ESO_LOG_LEVEL": "info",
        "ESO_ADDRESS_METRICS": "true" if plan.seconds else "false",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    if plan.leases:
        environment |= {"ESO_POD_NAME": "bench", "ESO_LEASE_NAMESPACE": "default"}
    environment |= settings
    pinned = ["taskset", "-c", "0"] if plan.cores == 1 else []
    began = monotonic()
    process = await asyncio.create_subprocess_exec(
        *pinned, build.runtime(), *command, "--server", server.url,
        cwd=ROOT, env=environment, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        while b"health on port" not in (line := await process.stderr.readline()):
            if not line:
                raise SystemExit("the sidecar did not start")
        port = int(line.partition(b"health on port ")[2].split(b'"')[0])
        running = Process(process.pid, f"http://127.0.0.1:{port}", began)
        draining = asyncio.create_task(running.drain(process.stderr))
        yield running
        draining.cancel()
    finally:
        process.terminate()
        await process.wait()


class Process:
    """The running sidecar, seen from outside."""

    def __init__(self, pid: int, url: str, began: float) -> None:
        self.pid = pid
        self.began = began
        self.leases_lost = 0
        self._client = httpx.AsyncClient(base_url=url, timeout=30)

    async def drain(self, log: asyncio.StreamReader) -> None:
        """Read the log to its end, and count how often the Lease was lost."""
        while line := await log.readline():
            self.leases_lost += b"could not be renewed in time" in line

    def megabytes(self, field: str) -> float:
        """VmRSS or VmHWM."""
        return int(Path(f"/proc/{self.pid}/status").read_text().split(f"{field}:")[1].split()[0]) / 1024

    async def sample(self, *, cpu: float | None = None) -> Sample:
        """A scrape."""
        cpu, at = cpu_seconds(self.pid) if cpu is None else cpu, monotonic()
        text = (await self._client.get("/metrics")).text
        values, lateness = {}, {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                values[one.name + "{" + ",".join(f"{k}={v}" for k, v in one.labels.items())] = one.value
                if one.name == "eso_schedule_lateness_seconds_bucket":
                    lateness[float(one.labels["le"])] = one.value
        return Sample(at, cpu, values, lateness)


def quantile(counts: dict[float, float], share: float) -> float:
    """In seconds, interpolated within its bucket as Prometheus does; `counts` are cumulative."""
    bounds = sorted(counts)
    wanted = counts[bounds[-1]] * share
    for below, bound in pairwise([0.0, *bounds]):
        under = counts.get(below, 0.0)
        if counts[bound] >= wanted:
            inside = counts[bound] - under
            return below if bound == float("inf") else below + (bound - below) * (wanted - under) / (inside or 1)
    return bounds[-2]


def run_of(row: str, process: Process, before: Sample, after: Sample, plan: Plan) -> Run:
    """Difference of two samples."""
    probes = sum(
        after.total("eso_probe_total", f"result={result}") - before.total("eso_probe_total", f"result={result}")
        for result in ("successful", "failed", "unknown")
    )
    lateness = {bound: count - before.lateness[bound] for bound, count in after.lateness.items()}
    skipped = after.total("eso_schedule_collapsed_ticks_total") - before.total("eso_schedule_collapsed_ticks_total")
    away = after.total("eso_prober_away_seconds_total") - before.total("eso_prober_away_seconds_total")
    cores = (after.cpu - before.cpu) / (after.at - before.at)
    return {
        "row": row,
        "peer": "ours",
        "told": f"{cores:.2f} cores, {skipped:.0f} skipped, away {away:.2f} s",
        "probes": probes,
        "failed": after.false_failures(plan) - before.false_failures(plan),
        "unknown": after.total("eso_prober_faults_total") - before.total("eso_prober_faults_total"),
        "skipped": skipped,
        "writes": after.total("eso_status_writes_total") - before.total("eso_status_writes_total"),
        "seconds": after.at - before.at,
        "cpuMicroseconds": (after.cpu - before.cpu) / probes * 1e6,
        "cores": cores,
        "probesPerSecond": probes / (after.at - before.at),
        "megabytes": process.megabytes("VmHWM"),
        "residentMegabytes": process.megabytes("VmRSS"),
        "awaySeconds": away,
        "lateMilliseconds": {
            name: quantile(lateness, share) * 1e3 for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        },
    }


async def measure(row: str, plan: Plan, repeat: int) -> list[Run]:
    """Windows of one steady sidecar, each with one scrape in it."""
    runs = []
    with targets.serving("http") as port, targets.black_hole() as hole:
        async with FakeApiServer(loopback=True) as server:
            cluster(server, plan, port, hole)
            async with sidecar(server, plan) as process:
                await asyncio.sleep(plan.period + 3)
                before = await process.sample()
                for _ in range(repeat):
                    await asyncio.sleep(plan.seconds)
                    after = await process.sample()
                    runs.append(run_of(row, process, before, after, plan))
                    before = after
    return runs


STEP = 0.25
"""Seconds between two looks at a sidecar that has just been started."""


async def measure_start(row: str, plan: Plan, repeat: int) -> list[Run]:
    """From the start of the process: the first probe, as many as there are addresses, the worst burst."""
    runs = []
    with targets.serving("http") as port, targets.black_hole() as hole:
        for _ in range(repeat):
            async with FakeApiServer(loopback=True) as server:
                cluster(server, plan, port, hole)
                async with sidecar(server, plan) as process:
                    runs.append({"row": row, "peer": "ours", **await _first_lap(process, plan)})
    return runs


async def _first_lap(process: Process, plan: Plan) -> dict[str, Any]:
    wanted, counts, serving = plan.crs * plan.each, [(monotonic(), 0.0)], monotonic()
    while monotonic() - serving < 3 * plan.period and counts[-1][1] < wanted:
        await asyncio.sleep(STEP)
        sample = await process.sample()
        counts.append((sample.at, sample.total("eso_probe_total")))
    rates = [(after - before) / (to - since) for (since, before), (to, after) in pairwise(counts)]
    first = next(at for at, count in counts if count)
    mean = wanted / plan.period
    ended = counts[-1][0]
    return {
        "cpuMicroseconds": cpu_seconds(process.pid) / counts[-1][1] * 1e6,
        "probes": counts[-1][1],
        "probesPerSecond": mean,
        "megabytes": process.megabytes("VmHWM"),
        "firstProbeSeconds": first - process.began,
        "allProbedSeconds": ended - first,
        "burst": max(rates) / mean,
        "told": f"first probe {first - process.began:.1f} s after exec, {first - serving:.2f} s after it listens; "
        f"all within {ended - first:.1f} s; busiest {STEP} s {max(rates) / mean:.2f} x the mean rate",
    }


def _row(name: str, told: str, plan: Plan) -> Callable[[argparse.Namespace], Iterator[Run]]:
    def row(options: argparse.Namespace) -> Iterator[Run]:
        yield from asyncio.run(measure(name, plan, options.repeat))

    row.__doc__ = told
    return row


PLANS = {
    "sidecar": ("1,000 ExternalServices x 10 addresses, once in 10 s", Plan(1_000, 10, 10, 15)),
    "sidecar-exact": ("the same, each probe started exactly when due", Plan(1_000, 10, 10, 15, tick=0)),
    "sidecar-holes": ("the same with 2,000 black holes beside them", Plan(1_000, 10, 10, 15, black=2_000)),
    "sidecar-50000": ("1,000 x 50 addresses once in 30 s, on one core", Plan(1_000, 50, 30, 30, cores=1)),
    "sidecar-leases": ("as `sidecar`, with a Lease as one of many replicas", Plan(1_000, 10, 10, 15, leases=True)),
    "sidecar-leases-1000": ("a tenth of that: 100 x 10 addresses", Plan(100, 10, 10, 15, leases=True)),
    "sidecar-short": ("100 x 10 addresses once a second", Plan(100, 10, 1, 5)),
}
START = Plan(1_000, 10, 10, 0)


def start(options: argparse.Namespace) -> Iterator[Run]:
    """1,000 ExternalServices x 10 addresses: how a sidecar begins"""
    yield from asyncio.run(measure_start("sidecar-start", START, options.repeat))


ROWS = {**{name: _row(name, told, plan) for name, (told, plan) in PLANS.items()}, "sidecar-start": start}

if __name__ == "__main__":
    sys.exit("python -m bench sidecar")

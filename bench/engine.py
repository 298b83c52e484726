"""The bare engine as one of the peers: probes the addresses on stdin and prints one JSON object.

python -m bench.engine -probe JSON [-flights 100 | -period SECONDS | -once [-laps 1] [-managed]] [-duration SECONDS]
                       [-tick 10] [-loop asyncio|uvloop] [-poller epoll|loop]

`-managed` puts the prober before it, with schedule, thresholds and counts as in a sidecar; its clock is one of laps.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, cast

from external_service.core import Probe
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.prober.outage import SuspectedOutage
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.targets import Surroundings, Targets
from probe_sidecar.probes import engine as engine_module
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.exchange import SUCCESS, Outcome
from probe_sidecar.probes.poller import LoopPoller, best_poller
from probe_sidecar.probes.prepare import PreparedProbe, Referenced, prepare


def cpu() -> float:
    """Seconds of user and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_megabytes() -> float:
    """VmHWM; ru_maxrss would begin with that of the process which started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Tally:
    """Results of the probes."""

    def __init__(self) -> None:
        self.probes = 0
        self.failed = 0
        self.late: list[float] = []
        self.messages: set[str] = set()

    def note(self, outcome: Outcome, seconds: float) -> None:
        """A probe's end."""
        del seconds
        self.probes += 1
        if outcome.result is not SUCCESS:
            self.failed += 1
            self.messages.add(outcome.message)


async def closed_loop(engine: ProbeEngine, targets: list[PreparedProbe], flights: int, until: float) -> Tally:
    """`flights` probes at any time, the next as soon as one ends."""
    tally, finished, turn = Tally(), asyncio.Event(), iter(range(sys.maxsize))

    def done(outcome: Outcome, seconds: float) -> None:
        tally.note(outcome, seconds)
        if monotonic() < until:
            engine.start(targets[next(turn) % len(targets)], done)
        elif not engine.in_flight:
            finished.set()

    for _ in range(flights):
        engine.start(targets[next(turn) % len(targets)], done)
    await finished.wait()
    return tally


async def once(engine: ProbeEngine, targets: list[PreparedProbe], laps: int) -> Tally:
    """Every target at the same moment; again when all have ended, `laps` times in all."""
    tally, finished = Tally(), asyncio.Event()

    def done(outcome: Outcome, seconds: float) -> None:
        tally.note(outcome, seconds)
        if tally.probes % len(targets) == 0:
            finished.set()

    for _ in range(laps):
        finished.clear()
        for target in targets:
            engine.start(target, done)
        await finished.wait()
    return tally


class Laps:
    """A clock for the prober: ten seconds a lap. Also the one ExternalService whose addresses are probed."""

    def __init__(self) -> None:
        self.lap = 0

    def time(self) -> float:
        """Seconds."""
        return self.lap * 10.0

    referenced = Referenced()

    def changed(self) -> None:
        """Nothing is published."""

    def delayed(self, reason: str) -> None:
        """Nothing is reported."""


def now() -> str:
    """A wall clock that no one reads."""
    return "2026-01-01T00:00:00Z"


async def managed(engine: ProbeEngine, probe: dict[str, Any], ips: list[str], laps: int) -> Tally:
    """All as addresses of one ExternalService, with schedule and thresholds; each is due once a lap."""
    clock = Laps()
    loop = cast(asyncio.AbstractEventLoop, clock)
    outage = SuspectedOutage(loop, engine, (), hold=0, canary=None, now=now, on_change=clock.changed)
    prober = Prober(loop, engine, outage, grid=0.01)
    prober.close()  # the laps are its timer
    targets = Targets(Surroundings(prober, clock.time, now, AddressPolicy(loopback=True)), clock, "bench/bench")
    spec = {"ips": ips, "port": 80, "readinessProbe": {**probe, "periodSeconds": 10}}
    targets.apply(ExternalServiceSpec.model_validate(spec), {})
    while clock.lap < laps:
        prober.tick()
        clock.lap += 1
        while engine.in_flight:  # noqa: ASYNC110 - as below; seldom, for each look costs as much as part of a probe
            await asyncio.sleep(0.2)
    tally = Tally()
    assert targets.counters is not None
    tally.probes, tally.failed = targets.counters.successful + targets.counters.failed, targets.counters.failed
    return tally


async def paced(engine: ProbeEngine, targets: list[PreparedProbe], period: float, until: float, tick: float) -> Tally:
    """Each target once a period, spread evenly, started on ticks."""
    tally, began = Tally(), monotonic()
    due = sorted(began + period * random.random() for _ in targets)
    at, lap = 0, 0
    while (now := monotonic()) < until:
        while due[at] + lap * period <= now:
            tally.late.append(now - due[at] - lap * period)
            engine.start(targets[at], tally.note)
            at, lap = (at + 1, lap) if at + 1 < len(due) else (0, lap + 1)
        await asyncio.sleep(tick - (now - began) % tick if tick else due[at] + lap * period - now)
    while engine.in_flight:  # noqa: ASYNC110 - the engine reports nothing when it is idle
        await asyncio.sleep(0.01)
    return tally


async def measure(options: argparse.Namespace, ips: list[str]) -> dict[str, Any]:
    """One run."""
    engine = ProbeEngine(asyncio.get_running_loop(), poller=LoopPoller if options.poller == "loop" else best_poller)
    model = Probe.model_validate_json(options.probe)
    targets = [prepare(model, ip) for ip in ips]
    began, before = monotonic(), cpu()
    until = began + options.duration
    if options.once:  # under valgrind a step takes so long that each would end the engine's turn, and be a heartbeat
        vars(engine_module).update(TURN_SECONDS=inf, HEAVY_SECONDS=inf, HEARTBEAT=inf)
    if options.managed:
        tally = await managed(engine, json.loads(options.probe), ips, options.laps)
    elif options.once:
        tally = await once(engine, targets, options.laps)
    elif options.period:
        tally = await paced(engine, targets, options.period, until, options.tick / 1e3)
    else:
        tally = await closed_loop(engine, targets, options.flights, until)
    used, wall = cpu() - before, monotonic() - began
    engine.close()
    late = sorted(tally.late) or [0.0]
    quantiles = {"p50": late[len(late) // 2], "p99": late[int(len(late) * 0.99)], "max": late[-1]}
    return {
        "peer": "ours",
        "probes": tally.probes,
        "failed": tally.failed,
        "messages": sorted(tally.messages),
        "seconds": wall,
        "cpuMicroseconds": used / tally.probes * 1e6,
        "probesPerSecond": tally.probes / wall,
        "megabytes": peak_megabytes(),
        "lateMilliseconds": {name: value * 1e3 for name, value in quantiles.items()},
        "awaySeconds": engine.away,
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-probe", required=True)
    parser.add_argument("-flights", type=int, default=100)
    parser.add_argument("-period", type=float, default=0.0)
    parser.add_argument("-once", action="store_true")
    parser.add_argument("-laps", type=int, default=1)
    parser.add_argument("-managed", action="store_true")
    parser.add_argument("-duration", type=float, default=5.0)
    parser.add_argument("-tick", type=int, default=10)
    parser.add_argument("-loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("-poller", choices=("epoll", "loop"), default="epoll")
    options = parser.parse_args()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if options.loop == "uvloop":
        import uvloop  # noqa: PLC0415 - only where it is asked for

        factory = uvloop.new_event_loop
    ips = sys.stdin.read().split()
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(measure(options, ips))))


if __name__ == "__main__":
    main()

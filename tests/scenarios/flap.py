"""flap: many transitions while Metacontroller overwrites the status; none is lost, no older state is published again.

Results are injected where the prober records its own, since real probes run at most once a second. The message of each
has its number, so that the stored status identifies the result.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from playground.client import EXTERNAL_SERVICES, SIDECAR
from tests.e2e.world import World
from tests.scenarios.report import Report
from tests.scenarios.timeline import Follower, Moment, StatusMoment, Timeline
from tests.until import Late, until

Object = dict[str, Any]

IDLE_PROBE = {"tcpSocket": {"port": 9}, "periodSeconds": 86_400, "initialDelaySeconds": 86_400}
RESULTS = ("results lost in status", "addresses wrong in Endpoints")
SETTLE_SECONDS = 30.0
CALM_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Flapping:
    """Parameters of the scenario: gaps in seconds, and a `seed` for all random choices.

    `window` is Metacontroller's, and shorter than a period without writes; `settle` is how long that may take to begin.
    """

    transitions: int = 300
    addresses: int = 20
    shortest: float = 0.005
    longest: float = 0.2
    seed: int = 1
    window: float = 0.005
    settle: float = SETTLE_SECONDS


@dataclass(frozen=True, slots=True)
class Result:
    """One transition: its number, its address, whether it is ready."""

    number: int
    ip: str
    ready: bool


def manifest(addresses: int) -> Object:
    """An ExternalService whose own probes do not run within a test."""
    ips = [f"10.30.0.{last}" for last in range(1, addresses + 1)]
    spec = {"port": 80, "ips": ips, "readinessProbe": IDLE_PROBE}
    meta = {"name": "flap"}
    return {"apiVersion": EXTERNAL_SERVICES.api_version, "kind": EXTERNAL_SERVICES.kind, "metadata": meta, "spec": spec}


async def flap(world: World, how: Flapping) -> Report:
    """Run the scenario, then check what is stored and published."""
    report = Report("flap")
    parent = await world.apply(manifest(how.addresses))
    meta, ips = parent["metadata"], parent["spec"]["ips"]
    async with Follower(world.client, meta["namespace"], meta["name"]) as timeline:
        await until(lambda: len(timeline.ready) == len(ips), "the first Endpoints", seconds=20 + 5 * how.window)
        report.equal("calm before the first transition", await _calm(world, how), True)
        mark = world.mark()
        results = await _flap(world, meta["uid"], ips, how)
        wanted = {result.ip: result.ready for result in results}
        settled = await _settle(world, timeline, wanted, how)
        check(report, timeline, results)
    writes = sum(write.user == SIDECAR for write in world.writes(mark))
    report.at_most("writes of the sidecar", writes, how.transitions * 1.1)
    report.figures |= {
        "transitions": len(results),
        "writes by all": len(world.writes(mark)),
        "stale status writes refused": world.refused(mark),
        "settled after seconds": settled,
    }
    return report


async def _flap(world: World, uid: str, ips: Sequence[str], how: Flapping) -> list[Result]:
    dice = random.Random(how.seed)
    state = dict.fromkeys(ips, False)
    results: list[Result] = []
    for number in range(1, how.transitions + 1):
        ip = dice.choice(ips)
        state[ip] = not state[ip]
        await world.inject(uid, [_address(ip, state[ip], number)])
        results.append(Result(number, ip, state[ip]))
        await asyncio.sleep(dice.uniform(how.shortest, how.longest))
    return results


def _address(ip: str, ready: bool, number: int) -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reason = "ProbeSucceeded" if ready else "ProbeFailed"
    return {"ip": ip, "ready": ready, "reason": reason, "message": f"result {number}", "lastTransitionTime": now}


async def _settle(world: World, timeline: Timeline, wanted: Mapping[str, bool], how: Flapping) -> float | None:
    """Waits until the wanted state is stored and published and stays so; None if that does not happen."""

    async def right() -> bool:
        if not _right(timeline, wanted):
            return False
        calm = await _is_calm(world, how.window)
        return calm and _right(timeline, wanted)

    try:
        passed = await until(right, "what is wanted", seconds=how.settle, every=0.05)
    except Late:
        return None
    return round(passed - _calm_seconds(how.window), 3)


async def _calm(world: World, how: Flapping) -> bool:
    """Whether writes end: without the guard two stale states can overwrite each other permanently."""
    try:
        await until(lambda: _is_calm(world, how.window), "calm", seconds=how.settle)
    except Late:
        return False
    return True


async def _is_calm(world: World, window: float) -> bool:
    mark = world.mark()
    await asyncio.sleep(_calm_seconds(window))
    return not world.writes(mark)


def _calm_seconds(window: float) -> float:
    return CALM_SECONDS + 2 * window


def _right(timeline: Timeline, wanted: Mapping[str, bool]) -> bool:
    stored = {ip: ready for ip, (ready, _) in timeline.status.items()}
    return all(stored.get(ip) is ready and timeline.ready.get(ip) is ready for ip, ready in wanted.items())


def check(report: Report, timeline: Timeline, results: Sequence[Result]) -> None:
    """Checks the four promises, from the recorded watches."""
    latest = {result.ip: result for result in results}
    lost = [one.ip for one in latest.values() if timeline.status.get(one.ip) != (one.ready, f"result {one.number}")]
    wrong = [one.ip for one in latest.values() if timeline.ready.get(one.ip) is not one.ready]
    report.equal(RESULTS[0], len(lost), 0)
    report.equal(RESULTS[1], len(wrong), 0)
    report.equal("older results stored again", stored_again(timeline.statuses), 0)
    report.equal("older states published again", published_again(timeline.published, timeline.statuses), 0)


def stored_again(statuses: Sequence[StatusMoment]) -> int:
    """The number of times that a status had an older result of an address than an earlier status."""
    newest: dict[str, int] = {}
    again = 0
    for status in statuses:
        for ip in status.addresses:
            number = _number(status, ip)
            again += number < newest.get(ip, 0)
            newest[ip] = max(number, newest.get(ip, 0))
    return again


def published_again(published: Sequence[Moment], statuses: Sequence[StatusMoment]) -> int:
    """The number of times that the published state of an address changed to an older result.

    The states of all addresses identify the status from which they were published: the first matching one that is not
    older than the one before, else the last matching one.
    """
    again = place = 0
    shown: dict[str, tuple[bool, int]] = {}
    for moment in published:
        fitting = [number for number, status in enumerate(statuses) if _made_from(moment, status)]
        if not fitting:
            again += 1  # published from no recorded status
            continue
        place = next((number for number in fitting if number >= place), fitting[-1])
        for ip, ready in moment.ready.items():
            before, number = shown.get(ip, (ready, 0)), _number(statuses[place], ip)
            again += before[0] is not ready and number < before[1]
            shown[ip] = (ready, max(number, before[1]))
    return again


def _made_from(moment: Moment, status: StatusMoment) -> bool:
    return all(status.addresses.get(ip, (False, ""))[0] is ready for ip, ready in moment.ready.items())


def _number(status: StatusMoment, ip: str) -> int:
    message = status.addresses.get(ip, (False, ""))[1]
    return int(message.removeprefix("result ")) if message.startswith("result ") else 0

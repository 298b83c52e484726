"""flap: many transitions while Metacontroller overwrites the status; none is lost, no older state is published again.

Results are injected where the prober records its own, since real probes run at most once a second. The message of each
has its number, so that the stored status identifies the result.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from playground.client import EXTERNAL_SERVICES, SIDECAR
from tests.e2e.world import World
from tests.scenarios.timeline import Follower, Moment, StatusMoment, Timeline
from tests.until import until

Object = dict[str, Any]

ADDRESSES, TRANSITIONS = 20, 300
GAPS = (0.005, 0.1)
"""Shortest and longest pause (s) between two transitions."""
SETTLE_SECONDS = 120.0
IDLE_PROBE = {"tcpSocket": {"port": 9}, "periodSeconds": 86_400, "initialDelaySeconds": 86_400}
PARENT: Object = {
    "apiVersion": EXTERNAL_SERVICES.api_version,
    "kind": EXTERNAL_SERVICES.kind,
    "metadata": {"name": "flap"},
    "spec": {"port": 80, "ips": [f"10.30.0.{last}" for last in range(1, ADDRESSES + 1)], "readinessProbe": IDLE_PROBE},
}

Result = tuple[bool, str]
"""Whether an address is ready, and the message with the number of the result."""


async def flap(world: World) -> Object:
    """Run the scenario and check what was stored and published; returns the figures."""
    parent = await world.apply(PARENT)
    meta, ips = parent["metadata"], parent["spec"]["ips"]
    async with Follower(world.client, meta["namespace"], meta["name"]) as timeline:
        await until(lambda: len(timeline.ready) == len(ips), "the first Endpoints", seconds=SETTLE_SECONDS)
        await world.until_calm()
        mark = world.mark()
        last = await _inject(world, meta["uid"], ips)
        settled = await until(lambda: _settled(timeline, last), "the last results", seconds=SETTLE_SECONDS, every=0.05)
        await world.until_calm()
        assert _settled(timeline, last), "and they stay"
    assert stored_again(timeline.statuses) == []
    assert published_again(timeline.published, timeline.statuses) == []
    writes = sum(write.user == SIDECAR for write in world.writes(mark))
    assert writes <= TRANSITIONS * 1.1
    return {
        "writes of the sidecar": writes,
        "writes by all": len(world.writes(mark)),
        "stale status writes refused": world.refused(mark),
        "settled after seconds": settled,
    }


async def _inject(world: World, uid: str, ips: Sequence[str]) -> dict[str, Result]:
    """Inject the transitions; the last result of each address."""
    dice, last = random.Random(1), dict[str, Result]()
    for number in range(1, TRANSITIONS + 1):
        ip = dice.choice(ips)
        ready = not last.get(ip, (False, ""))[0]
        last[ip] = ready, f"result {number}"
        reason = "ProbeSucceeded" if ready else "ProbeFailed"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        address = {"ip": ip, "ready": ready, "reason": reason, "message": last[ip][1], "lastTransitionTime": now}
        await world.inject(uid, [address])
        await asyncio.sleep(dice.uniform(*GAPS))
    return last


def _settled(timeline: Timeline, last: Mapping[str, Result]) -> bool:
    return all(timeline.status.get(ip) == one and timeline.ready.get(ip) is one[0] for ip, one in last.items())


def stored_again(statuses: Sequence[StatusMoment]) -> list[StatusMoment]:
    """The statuses that have an older result of an address than an earlier status."""
    newest, found = dict[str, int](), []
    for status in statuses:
        numbers = {ip: int(message.split()[1]) for ip, (_, message) in status.addresses.items() if "result" in message}
        if any(number < newest.get(ip, 0) for ip, number in numbers.items()):
            found.append(status)
        newest |= numbers
    return found


def published_again(published: Sequence[Moment], statuses: Sequence[StatusMoment]) -> list[Moment]:
    """The published states that were made from no status, or from an older one than a state published before."""
    place, found = 0, []
    for moment in published:
        later = range(place, len(statuses))
        made_from = next((number for number in later if _made_from(moment, statuses[number])), None)
        if made_from is None:
            found.append(moment)
        else:
            place = made_from
    return found


def _made_from(moment: Moment, status: StatusMoment) -> bool:
    return all(status.addresses.get(ip, (False, ""))[0] is ready for ip, ready in moment.ready.items())

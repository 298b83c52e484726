"""Without file descriptors the prober changes no readiness and reports it: in the status, an Event and a metric."""

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from playground.client import SIDECAR
from probe_sidecar.probes.message import MORE_PROBES
from tests.e2e.backends import Mode
from tests.e2e.fleet import Fleet
from tests.e2e.world import World
from tests.until import until

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

PLACES = 4
COUNT, STALLING = 30, 20
RESERVED = 128  # docs/operations.md, Limits
EXHAUSTED_SECONDS = 5.0


async def delayed(world: World, names: list[str]) -> dict[str, str]:
    """The reason of the condition ProbesDelayed, where it is True."""
    found: dict[str, str] = {}
    for name in names:
        conditions = {one["type"]: one for one in (await world.status(name)).get("conditions", ())}
        if conditions.get("ProbesDelayed", {}).get("status") == "True":
            found[name] = conditions["ProbesDelayed"]["reason"]
    return found


async def told(world: World, reason: str) -> bool:
    """Whether there is an Event with that reason."""
    events = (await world.client.get(f"/apis/events.k8s.io/v1/namespaces/{world.namespace}/events"))["items"]
    return any(event["reason"] == reason for event in events)


@pytest.mark.world(replicas=1)
async def test_stalled_addresses_beyond_the_probe_limit(world: World, figures: Callable[..., None]) -> None:
    """30 ExternalServices and 4 places, by the descriptor limit of the process; 20 of the addresses stall."""
    await world.replicas["a"].stop()
    limited = world.replica("a", under=["prlimit", f"--nofile={RESERVED + PLACES}"])
    await limited.start()
    async with Fleet(world, COUNT) as fleet:
        assert await limited.metric("eso_probes_limit") == PLACES
        assert await limited.metric("eso_external_services_delayed") == 0
        stalling = fleet.ips[:STALLING]
        mark, begun = world.mark(), fleet.kill(stalling, Mode.STALL)
        found = await fleet.until_told(dict.fromkeys(stalling, False), seconds=60)

        async def said() -> bool:
            return len(await delayed(world, fleet.names)) >= COUNT / 2

        await until(said, "most of them said to be probed too seldom", seconds=30, every=0.5)
        await until(lambda: told(world, "ProbesDelayed"), "an Event, after those of transitions", seconds=40, every=0.5)
        reasons = await delayed(world, fleet.names)
        assert set(reasons.values()) == {"NoPlaceLeft"}
        counted = await limited.metric("eso_external_services_delayed")
        healthy = [name for name, ips in fleet.addresses.items() if ips[0] not in stalling]
        assert fleet.flips(begun, but=stalling) == []
        assert sorted(fleet.flips(begun)) == sorted((at, ip, False) for at, ip, _ in fleet.flips(begun))
        writes = [one.name for one in world.writes(mark) if one.user == SIDECAR and one.subresource == "status"]
        assert max(map(writes.count, healthy)) <= 1, "the condition came and went"
        assert await limited.metric("eso_prober_faults_total") == 0
    assert any(MORE_PROBES in line for line in limited.complaints())
    figures(**{"all stalling ones found after": found, "said to be delayed": len(reasons), "by the metric": counted})


@pytest.mark.world(replicas=1)
async def test_exhausted_file_descriptors_change_no_readiness(world: World, figures: Callable[..., None]) -> None:
    """Without a descriptor for any probe an address dies: this is found when there are some again."""
    async with Fleet(world, 10) as fleet:
        prober = world.replicas["a"]
        dead = fleet.ips[0]
        begun = fleet.kill([dead])
        with exhausted(prober.component.pid):
            await asyncio.sleep(EXHAUSTED_SECONDS)
            assert fleet.flips(begun) == []
        faults = await prober.metric("eso_prober_faults_total")
        assert faults >= len(fleet.ips)
        out = await fleet.until_told({dead: False})

        async def said() -> bool:
            return (await delayed(world, fleet.names)).keys() == set(fleet.names)

        await until(said, "all said to have been at a loss", seconds=20, every=0.3)
        assert set((await delayed(world, fleet.names)).values()) == {"ProberFault"}
        assert [(ip, ready) for _, ip, ready in fleet.flips(begun)] == [(dead, False)]
    figures(**{"faults of the prober": faults, "the dead one reported after": out})


@contextmanager
def exhausted(pid: int) -> Iterator[None]:
    """Limits a process to the descriptors that it keeps open."""
    lowest = min(_lowest_free(pid) for _ in range(200))  # a running probe has some for a moment
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _lowest_free(pid: int) -> int:
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)

"""Ordinary changes of an ExternalService cause no Warning Event: no status write of Metacontroller is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from playground.client import EXTERNAL_SERVICES
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.until import until

Object = dict[str, Any]

DEFAULT_LIMITS: dict[str, Any] = {"qps": 5.0, "burst": 10}
"""Metacontroller's own --client-go-qps and --client-go-burst."""
CALM_SECONDS = 3.0
SECONDS = 240.0
FIVE = [f"10.0.110.{last}" for last in range(1, 6)]


@dataclass(frozen=True, slots=True)
class Counts:
    """The result of one case. `warnings` are SyncErrors, by the counts of their Events."""

    case: str
    changes: int
    patches: int
    refused: int
    warnings: int


class Counter:
    """Runs cases in a world, one after another, each until nothing is written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.found: list[Counts] = []

    async def count(self, case: str, changes: int, work: Awaitable[None]) -> None:
        """`changes`: objects created, or transitions of an ExternalService."""
        mark, warned = self.world.mark(), await self._warnings()
        await work
        await self.calm()
        writes = self.world.writes(mark)
        patches = sum(write.user == "sidecar" for write in writes)
        refused, warnings = self.world.refused(mark), await self._warnings() - warned
        self.found.append(Counts(case, changes, patches, refused, warnings))
        print(self.world.id, f"policy {self.world.status_policy}", self.found[-1], flush=True)

    async def _warnings(self) -> int:
        return sum(event.get("count") or 1 for event in await self.world.sync_errors())

    async def calm(self) -> None:
        """Waits until nothing has been written for a while."""

        async def holds() -> bool:
            mark = self.world.mark()
            await asyncio.sleep(CALM_SECONDS)
            return not self.world.writes(mark)

        await until(holds, "calm", seconds=SECONDS)


async def _create(world: World, names: list[str]) -> None:
    """All at once; each is published as ready at the end."""
    made = [external_service(name, [f"10.30.{number}.1"]) for number, name in enumerate(names)]
    await asyncio.gather(*(world.apply(one) for one in made))
    for one in made:
        await world.until_published(one["metadata"]["name"], ready(one["spec"]["ips"]), seconds=SECONDS)


async def _create_singly(world: World, count: int, pause: float) -> None:
    for number in range(count):
        await _create(world, [f"single-{pause:g}-{number}".replace(".", "-")])
        await asyncio.sleep(pause)


async def _switch(world: World, victims: list[str], times: int) -> None:
    """Down and up again, each as soon as the one before is published."""
    for _ in range(times):
        for mode in (Mode.REFUSE, Mode.HEALTHY):
            world.hosts.switch(victims, mode)
            down = victims if mode is Mode.REFUSE else ()
            await world.until_published("five", ready(FIVE, but=down), seconds=SECONDS)


async def _outage(world: World, parents: list[Object], mode: Mode) -> None:
    """All addresses of an ExternalService at once, one ExternalService after another, all within 3 s."""
    for parent in parents:
        world.hosts.switch(parent["spec"]["ips"], mode)
        await asyncio.sleep(3 / len(parents) / 2)
    for parent in parents:
        ips = parent["spec"]["ips"]
        down = ips if mode is Mode.REFUSE else ()
        await world.until_published(parent["metadata"]["name"], ready(ips, but=down), seconds=SECONDS)


async def _clear(world: World) -> None:
    for one in (await world.client.get(EXTERNAL_SERVICES.path(world.namespace)))["items"]:
        await world.delete(one["metadata"]["name"])


async def _counts(world: World, *, singly: int, five: int, crowd: int) -> list[Counts]:
    """`singly`: objects created one by one, by either pace; `five`: times down and up; `crowd`: objects at once."""
    counter = Counter(world)
    await counter.calm()
    await counter.count("created: 1", 1, _create(world, ["one"]))
    await counter.count("created: 3 at once", 3, _create(world, ["three-a", "three-b", "three-c"]))
    for pause in (0.0, 3.0):
        case = f"created: {singly} singly, {pause:g} s after the last"
        await counter.count(case, singly, _create_singly(world, singly, pause))
    await _clear(world)
    await world.apply(external_service("five", FIVE))
    await world.until_published("five", ready(FIVE), seconds=SECONDS)
    await counter.calm()
    await counter.count("one of five, down and up", 2 * five, _switch(world, FIVE[:1], five))
    await counter.count("all five, down and up", five, _switch(world, FIVE, five // 2))
    await _clear(world)
    await counter.calm()
    if crowd:
        parents = [
            external_service(f"crowd-{n}", [f"10.30.{100 + n}.{last}" for last in range(1, 6)]) for n in range(crowd)
        ]
        await counter.count(f"created: {crowd} at once", crowd, _create_all(world, parents))
        for words, mode in (("down", Mode.REFUSE), ("up", Mode.HEALTHY)):
            await counter.count(f"{crowd} x 5 {words} within 3 s", crowd, _outage(world, parents, mode))
    return counter.found


async def _create_all(world: World, parents: list[Object]) -> None:
    await asyncio.gather(*(world.apply(parent) for parent in parents))
    for parent in parents:
        await world.until_published(parent["metadata"]["name"], ready(parent["spec"]["ips"]), seconds=SECONDS)


def _assert_few(found: list[Counts], *, policy: bool) -> None:
    """With the policy no warning; without it at most 1 in 10 creations and 1 in 40 transitions."""
    for creations, share in ((True, 10), (False, 40)):
        cases = [one for one in found if one.case.startswith("created") is creations]
        allowed = 0 if policy else max(1, sum(one.changes for one in cases) // share)
        assert sum(one.refused for one in cases) <= allowed, cases
        assert sum(one.warnings for one in cases) <= allowed, cases


SHORT = {"singly": 2, "five": 4, "crowd": 0}
LONG = {"singly": 20, "five": 20, "crowd": 30}
SIZES = pytest.mark.parametrize(
    "sizes", [pytest.param(SHORT, id="few"), pytest.param(LONG, id="many", marks=pytest.mark.nightly)]
)


@SIZES
@pytest.mark.world(status_policy=True, **DEFAULT_LIMITS)
async def test_status_policy_prevents_refused_writes(
    world: World, sizes: dict[str, int], figures: Callable[..., None]
) -> None:
    if not world.status_policy:
        pytest.skip("this API server does not serve MutatingAdmissionPolicies: Kubernetes 1.36 does")
    await _hold(world, sizes, figures)


@pytest.mark.nightly
@pytest.mark.world(status_policy=False, **DEFAULT_LIMITS)
async def test_few_writes_are_refused_without_the_policy(world: World, figures: Callable[..., None]) -> None:
    """A share needs many changes."""
    await _hold(world, LONG, figures)


async def _hold(world: World, sizes: dict[str, int], figures: Callable[..., None]) -> None:
    found = await _counts(world, **sizes)
    figures(**{one.case: f"{one.refused} refused, {one.warnings} warnings, {one.patches} patches" for one in found})
    _assert_few(found, policy=world.status_policy)

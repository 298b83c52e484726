"""Ordinary changes of an ExternalService cause no Warning Event: no status write of Metacontroller is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from playground.client import EXTERNAL_SERVICES
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import DEFAULT_BURST, DEFAULT_QPS, World, ready

DEFAULT_LIMITS: dict[str, Any] = {"qps": DEFAULT_QPS, "burst": DEFAULT_BURST}
SECONDS = 240.0
IPS = [f"10.0.110.{last}" for last in range(1, 6)]


class Counts(NamedTuple):
    """One case: objects created or transitions, and SyncErrors by the counts of their Events."""

    case: str
    changes: int
    refused: int
    warnings: int


async def count(world: World, case: str, changes: int, work: Awaitable[None]) -> Counts:
    """The counts of one case, until nothing is written."""

    async def warnings() -> int:
        return sum(event.get("count") or 1 for event in await world.sync_errors())

    mark, warned = world.mark(), await warnings()
    await work
    await world.until_calm()
    return Counts(case, changes, world.refused(mark), await warnings() - warned)


async def create(world: World, names: list[str], pause: float | None = None) -> None:
    """All at once, or one after the other with a pause; each is published as ready at the end."""
    made = [external_service(name, [f"10.30.{n}.1"]) for n, name in enumerate(names)]
    for batch in [made] if pause is None else [[one] for one in made]:
        await asyncio.gather(*(world.apply(one) for one in batch))
        for one in batch:
            await world.until_published(one["metadata"]["name"], ready(one["spec"]["ips"]), seconds=SECONDS)
        await asyncio.sleep(pause or 0)


async def switch(world: World, victims: list[str], times: int) -> None:
    """Down and up again, each as soon as the one before is published."""
    for mode in (Mode.REFUSE, Mode.HEALTHY) * times:
        world.hosts.switch(victims, mode)
        await world.until_published("five", ready(IPS, but=victims if mode is Mode.REFUSE else ()), seconds=SECONDS)


async def clear(world: World) -> None:
    for one in (await world.client.get(EXTERNAL_SERVICES.path(world.namespace)))["items"]:
        await world.delete(one["metadata"]["name"])
    await world.until_calm()


async def counts(world: World, *, singly: int, five: int) -> list[Counts]:
    """`singly`: objects created one by one, by either pace; `five`: times down and up."""
    await world.until_calm()
    found = [
        await count(world, "created: 1", 1, create(world, ["one"])),
        await count(world, "created: 3 at once", 3, create(world, ["three-a", "three-b", "three-c"])),
    ]
    for pause in (0, 3):
        work = create(world, [f"single-{pause}-{number}" for number in range(singly)], pause=pause)
        found.append(await count(world, f"created: {singly} singly, {pause} s after the last", singly, work))
    await clear(world)
    await world.apply(external_service("five", IPS))
    await world.until_published("five", ready(IPS), seconds=SECONDS)
    await world.until_calm()
    found.append(await count(world, "one of five, down and up", 2 * five, switch(world, IPS[:1], five)))
    found.append(await count(world, "all five, down and up", five, switch(world, IPS, five // 2)))
    return found


FEW = {"singly": 2, "five": 4}
MANY = {"singly": 20, "five": 20}


UNGUARDED = pytest.mark.world(status_policy=False, **DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param(FEW, id="few", marks=pytest.mark.world(**DEFAULT_LIMITS)),
        pytest.param(MANY, id="many", marks=[pytest.mark.nightly, pytest.mark.world(**DEFAULT_LIMITS)]),
        pytest.param(MANY, id="many-without-the-policy", marks=[pytest.mark.nightly, UNGUARDED]),
    ],
)
async def test_few_or_no_writes_are_refused(world: World, sizes: dict[str, int], figures: Callable[..., None]) -> None:
    """With the policy no warning; without it at most 1 in 10 creations and 1 in 40 transitions."""
    if world.setup.status_policy and not world.status_policy:
        pytest.skip("this API server does not serve MutatingAdmissionPolicies: Kubernetes 1.36 does")
    found = await counts(world, **sizes)
    figures(**{one.case: f"{one.refused} refused, {one.warnings} warnings" for one in found})
    for creations, share in ((True, 10), (False, 40)):
        cases = [one for one in found if one.case.startswith("created") is creations]
        allowed = 0 if world.status_policy else max(1, sum(one.changes for one in cases) // share)
        assert sum(one.refused for one in cases) <= allowed, cases
        assert sum(one.warnings for one in cases) <= allowed, cases

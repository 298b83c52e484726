"""A drained address is still probed, gets traffic only as a last resort, and returns at once when enabled again."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service, sample
from tests.e2e.slices import Triple, consuming, our_endpoints
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.20.70.1", "10.20.70.2", "10.20.70.3")
DRAINED = IPS[2]
HEALTHY, UNHEALTHY = (True, True, False), (False, False, False)
LAST_RESORT, DRAINED_AND_DEAD = (False, True, True), (False, False, True)
LONG = 120
"""Seconds between two probes: changes in this time are not caused by a probe."""


async def told(world: World, name: str = "web") -> dict[str, tuple[bool, bool | None, str]]:
    """(ready, serving, reason) of each address in the status."""
    found = (await world.status(name)).get("addresses", ())
    return {one["ip"]: (one["ready"], one.get("serving"), one["reason"]) for one in found}


async def until_told(world: World, wanted: Mapping[str, tuple[bool, bool | None, str]]) -> None:
    async def holds() -> bool:
        return await told(world) == wanted

    await until(holds, f"the status says {wanted}", seconds=20, every=0.05)


async def until_triples(world: World, wanted: Mapping[str, Triple], name: str = "web") -> float:
    async def holds() -> bool:
        return await our_endpoints(world, name) == wanted

    return await until(holds, f"slices with {wanted}", seconds=20, every=0.02)


async def drain(world: World, *ips: str) -> None:
    """Drains exactly these."""
    await world.patch("web", {"spec": {"disabledIPs": list(ips)}})


async def test_drained_address_is_a_last_resort_and_still_probed(world: World) -> None:
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    await drain(world, DRAINED)
    up = dict.fromkeys(IPS[:2], (True, None, "ProbeSucceeded"))
    await until_told(world, up | {DRAINED: (False, True, "Disabled")})
    await world.until_published("web", ready(IPS, but=[DRAINED]))
    await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: LAST_RESORT})
    assert (await world.status("web"))["ready"] == "2/2", "who is drained is not missing"

    seen = await world.requests(DRAINED)

    async def probed() -> bool:
        return await world.requests(DRAINED) >= seen + 3

    await until(probed, "it probed on", seconds=20)

    world.hosts.switch(DRAINED, Mode.REFUSE)
    await until_told(world, up | {DRAINED: (False, False, "Disabled")})
    await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: DRAINED_AND_DEAD})
    world.hosts.switch(DRAINED, Mode.HEALTHY)
    await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: LAST_RESORT})
    assert await world.published("web") == ready(IPS, but=[DRAINED])

    await drain(world, *IPS)
    await until_triples(world, dict.fromkeys(IPS, LAST_RESORT))

    async def without_addresses() -> bool:
        ready_condition = next(one for one in (await world.status("web"))["conditions"] if one["type"] == "Ready")
        return (ready_condition["status"], ready_condition["reason"]) == ("False", "NoAddresses")

    await until(without_addresses, "Ready is False: NoAddresses", seconds=20)


def patient() -> dict[str, Any]:
    """With its next probe after the end of the test."""
    parent = external_service("web", IPS)
    parent["spec"]["readinessProbe"] |= {"periodSeconds": LONG, "failureThreshold": 1}
    return parent


async def test_undrained_address_returns_without_a_probe(world: World, figures: Callable[..., None]) -> None:
    await world.apply(patient())
    await world.until_published("web", ready(IPS))
    await drain(world, DRAINED)
    await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: LAST_RESORT})
    seen = await world.requests(DRAINED)
    await drain(world)
    figures(
        **{"enabled to ready in slices": await until_triples(world, dict.fromkeys(IPS, HEALTHY))},
        **{"and in Endpoints": await world.until_published("web", ready(IPS))},
    )
    assert await told(world) == dict.fromkeys(IPS, (True, None, "ProbeSucceeded"))
    assert await world.requests(DRAINED) == seen


async def test_address_that_failed_while_drained_stays_not_ready(world: World) -> None:
    await world.apply(external_service("web", IPS, disabledIPs=[DRAINED]))
    await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: LAST_RESORT})
    world.hosts.switch(DRAINED, Mode.REFUSE)
    await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: DRAINED_AND_DEAD})
    async with consuming(world, "web") as consumer:
        await drain(world)
        await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: UNHEALTHY})
        await until_told(
            world, {**dict.fromkeys(IPS[:2], (True, None, "ProbeSucceeded")), DRAINED: (False, None, "ProbeFailed")}
        )
        assert all(DRAINED not in shown for _, shown in consumer.changes)


async def test_restart_keeps_the_state_of_drained_addresses(world: World) -> None:
    await world.apply({**patient(), "spec": {**patient()["spec"], "disabledIPs": [DRAINED]}})
    await until_triples(world, {**dict.fromkeys(IPS[:2], HEALTHY), DRAINED: LAST_RESORT})
    before = await world.status("web")
    await world.kill_sidecar()
    await world.start_sidecar()
    await drain(world)
    await until_triples(world, dict.fromkeys(IPS, HEALTHY))
    after = await world.status("web")
    stayed = [one for one in before["addresses"] if one["ip"] != DRAINED]
    assert [one for one in after["addresses"] if one["ip"] != DRAINED] == stayed


@pytest.mark.world(endpoints="Endpoints")
async def test_drained_address_is_absent_from_mirrored_slices(world: World) -> None:
    """A mirrored slice cannot say that an address is the last resort, so the drained one is not in it."""
    await world.apply(external_service("web", IPS, disabledIPs=[DRAINED]))
    await world.until_published("web", ready(IPS[:2]))
    async with consuming(world, "web") as consumer:
        await until(lambda: consumer.serving() == frozenset(IPS[:2]), "the mirrored slice without it", seconds=20)
    assert await our_endpoints(world, "web") == {}


@pytest.mark.stand_in
async def test_drain_sample_works(world: World) -> None:
    parent = await world.apply(sample("drain"))
    ips, drained = parent["spec"]["ips"], parent["spec"]["disabledIPs"]
    await world.until_published("drain", ready(ips, but=drained))
    wanted = {ip: LAST_RESORT if ip in drained else HEALTHY for ip in ips}
    await until_triples(world, wanted, "drain")

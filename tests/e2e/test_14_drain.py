"""A drained address is still probed, gets traffic only as a last resort, and returns at once when enabled again."""

from collections.abc import Callable

import pytest

from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service, sample
from tests.e2e.slices import our_endpoints
from tests.e2e.world import World, ready
from tests.until import until, until_equal

IPS = ("10.20.70.1", "10.20.70.2", "10.20.70.3")
DRAINED = IPS[2]
HEALTHY, UNHEALTHY = (True, True, False), (False, False, False)
LAST_RESORT, DRAINED_AND_DEAD = (False, True, True), (False, False, True)
UP = dict.fromkeys(IPS[:2], (True, None, "ProbeSucceeded"))
UP_IN_SLICES = dict.fromkeys(IPS[:2], HEALTHY)


async def reported(world: World) -> dict[str, tuple[bool, bool | None, str]]:
    """(ready, serving, reason) of each address in the status."""
    found = await world.addresses("web")
    return {ip: (one["ready"], one.get("serving"), one["reason"]) for ip, one in found.items()}


async def drain(world: World, *ips: str) -> None:
    """Drains exactly these."""
    await world.patch("web", {"spec": {"disabledIPs": list(ips)}})


async def test_drained_address_is_a_last_resort_and_still_probed(world: World) -> None:
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    await drain(world, DRAINED)
    await until_equal(lambda: reported(world), UP | {DRAINED: (False, True, "Disabled")})
    await world.until_published("web", ready(IPS, but=[DRAINED]))
    await until_equal(lambda: our_endpoints(world, "web"), UP_IN_SLICES | {DRAINED: LAST_RESORT})
    assert (await world.status("web"))["ready"] == "2/2", "who is drained is not missing"
    seen = world.hosts.requests()[DRAINED]
    await until(lambda: world.hosts.requests()[DRAINED] >= seen + 3, "it probed on", seconds=20)

    world.hosts.switch(DRAINED, Mode.REFUSE)
    await until_equal(lambda: reported(world), UP | {DRAINED: (False, False, "Disabled")})
    await until_equal(lambda: our_endpoints(world, "web"), UP_IN_SLICES | {DRAINED: DRAINED_AND_DEAD})
    await drain(world)
    await until_equal(lambda: our_endpoints(world, "web"), UP_IN_SLICES | {DRAINED: UNHEALTHY})

    async def condition() -> tuple[str, ...]:
        return (await world.condition("web", "Ready"))[:2]

    await until_equal(condition, ("True", "SomeAddressesReady"))
    world.hosts.switch(DRAINED, Mode.HEALTHY)
    await drain(world, *IPS)
    await until_equal(lambda: our_endpoints(world, "web"), dict.fromkeys(IPS, LAST_RESORT))
    await until_equal(condition, ("False", "NoAddresses"))


async def test_undrained_address_returns_without_a_probe(world: World, figures: Callable[..., None]) -> None:
    parent = external_service("web", IPS)
    parent["spec"]["readinessProbe"] |= {"periodSeconds": 120, "failureThreshold": 1}  # the next is after the test
    await world.apply(parent)
    await world.until_published("web", ready(IPS))
    await drain(world, DRAINED)
    await until_equal(lambda: our_endpoints(world, "web"), UP_IN_SLICES | {DRAINED: LAST_RESORT})
    seen = world.hosts.requests()[DRAINED]
    await drain(world)
    figures(
        **{
            "enabled to ready in slices": await until_equal(
                lambda: our_endpoints(world, "web"), dict.fromkeys(IPS, HEALTHY), every=0.02
            ),
            "and in Endpoints": await world.until_published("web", ready(IPS)),
        }
    )
    assert await reported(world) == dict.fromkeys(IPS, (True, None, "ProbeSucceeded"))
    assert world.hosts.requests()[DRAINED] == seen


@pytest.mark.stand_in
async def test_drain_sample_works(world: World) -> None:
    parent = await world.apply(sample("drain"))
    ips, drained = parent["spec"]["ips"], parent["spec"]["disabledIPs"]
    await world.until_published("drain", ready(ips, but=drained))
    wanted = {ip: LAST_RESORT if ip in drained else HEALTHY for ip in ips}
    await until_equal(lambda: our_endpoints(world, "drain"), wanted)

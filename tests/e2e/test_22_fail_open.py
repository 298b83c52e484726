"""With fewer healthy addresses than minReady all are published as ready and this is reported, until enough recover."""

import pytest

from probe_sidecar.status.conditions import too_few_ready
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.until import until_equal

IPS = ("10.0.102.30", "10.0.102.31")


@pytest.mark.stand_in
async def test_min_ready_fails_open_and_recovers(world: World) -> None:
    series = f'eso_fail_open{{namespace="{world.namespace}",name="web"}}'

    async def conditions() -> list[tuple[str, ...]]:
        return [(await world.condition("web", kind))[:2] for kind in ("FailOpen", "Ready")]

    await world.apply(external_service("web", IPS, minReady="50%"))
    await world.until_published("web", ready(IPS))
    await until_equal(conditions, [("False", "EnoughReady"), ("True", "AllAddressesReady")])
    world.hosts.switch(IPS[0], Mode.REFUSE)
    await world.until_published("web", ready(IPS, but=IPS[:1]))  # one of two is 50 %

    world.hosts.switch(IPS[1], Mode.REFUSE)
    await world.until_published("web", ready(IPS))
    assert await conditions() == [("True", "TooFewReady"), ("True", "FailingOpen")]
    assert (await world.status("web"))["ready"] == "0/2"
    assert {one["ready"] for one in (await world.addresses("web")).values()} == {False}
    assert await world.sidecar.metric(series) == 1
    await until_equal(lambda: world.events("FailOpen"), [("web", "Warning", too_few_ready(0, "50%"))])

    world.hosts.switch(IPS[1], Mode.HEALTHY)
    await world.until_published("web", ready(IPS, but=IPS[:1]))
    await until_equal(conditions, [("False", "EnoughReady"), ("True", "SomeAddressesReady")])
    assert await world.sidecar.metric(series) == 0

"""With fewer healthy addresses than minReady all are published as ready and this is reported, until enough recover."""

from typing import Any

import pytest

from playground.backends import Mode
from playground.client import Kind
from probe_sidecar.status.conditions import too_few_ready
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.0.102.30", "10.0.102.31")
EVENTS = Kind("events.k8s.io/v1", "events", "Event", namespaced=True)
ALL_OPEN = too_few_ready(0, "50%")


async def conditions(world: World) -> dict[str, tuple[str, str]]:
    found = (await world.status("web")).get("conditions", ())
    return {one["type"]: (one["status"], one["reason"]) for one in found}


async def reasons(world: World) -> list[tuple[str, str]]:
    """Type and note of the Events about failing open."""
    items: list[dict[str, Any]] = (await world.client.get(EVENTS.path(world.namespace)))["items"]
    return [(event["type"], event["note"]) for event in items if event["reason"] == "FailOpen"]


async def metric(world: World) -> str:
    lines = (await world.sidecar.page("/metrics")).text.splitlines()
    return next((line.rpartition(" ")[2] for line in lines if line.startswith("eso_fail_open{")), "")


@pytest.mark.stand_in
async def test_min_ready_fails_open_and_recovers(world: World) -> None:
    await world.apply(external_service("web", IPS, minReady="50%"))
    await world.until_published("web", ready(IPS))

    async def closed() -> bool:
        return (await conditions(world)).get("FailOpen") == ("False", "EnoughReady")

    await until(closed, "closed at first", seconds=60)
    await world.set_backend(IPS[0], Mode.REFUSE)
    await world.until_published("web", ready(IPS, but=IPS[:1]))  # one of two is 50 %

    await world.set_backend(IPS[1], Mode.REFUSE)
    await world.until_published("web", ready(IPS))
    found = await conditions(world)
    assert found["FailOpen"] == ("True", "TooFewReady")
    assert found["Ready"] == ("True", "FailingOpen")
    assert (await world.status("web"))["ready"] == "0/2"
    assert {one["ready"] for one in (await world.status("web"))["addresses"]} == {False}
    assert float(await metric(world)) == 1

    async def told() -> bool:
        return await reasons(world) == [("Warning", ALL_OPEN)]

    await until(told, "an Event", seconds=60)

    await world.set_backend(IPS[1], Mode.HEALTHY)
    await world.until_published("web", ready(IPS, but=IPS[:1]))
    await until(closed, "closed again", seconds=60)
    assert float(await metric(world)) == 0


async def test_default_fails_closed(world: World) -> None:
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    for ip in IPS:
        await world.set_backend(ip, Mode.REFUSE)
    await world.until_published("web", ready((), but=IPS))
    found = await conditions(world)
    assert "FailOpen" not in found
    assert found["Ready"] == ("False", "NoAddressReady")
    assert await metric(world) == ""

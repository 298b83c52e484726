"""A transition is reported in an Event on its ExternalService, one for all that change together."""

import pytest

from playground.backends import Mode
from playground.client import EVENTS as LEGACY_EVENTS
from playground.client import Kind
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.0.100.10", "10.0.100.11")
EVENTS = Kind("events.k8s.io/v1", "events", "Event", namespaced=True)
CONTROLLER = "eso.crowdfox.com/prober"


async def told(world: World) -> list[tuple[str, str, str]]:
    """(type, reason, note) of the prober's Events."""
    items = (await world.client.get(EVENTS.path(world.namespace)))["items"]
    ours = [event for event in items if event["reportingController"] == CONTROLLER]
    return sorted((event["type"], event["reason"], event["note"]) for event in ours)


@pytest.mark.stand_in
async def test_events_report_failure_and_recovery(world: World) -> None:
    expected: list[tuple[str, str, str]] = []

    async def holds() -> bool:
        return sorted(expected) == await told(world)

    parent = await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    await until(lambda: _named(world, IPS), "both reported", seconds=60)
    expected += await told(world)
    await world.set_backend(IPS[0], Mode.REFUSE)
    await world.until_published("web", ready(IPS, but=IPS[:1]))
    expected.append(("Warning", "AddressNotReady", f"{IPS[0]}: connection refused"))
    await until(holds, "the failure reported", seconds=60)
    field = f"involvedObject.uid={parent['metadata']['uid']}"  # as `kubectl describe` looks for them
    shown = (await world.client.get(LEGACY_EVENTS.path(world.namespace), fieldSelector=field))["items"]
    assert ("AddressNotReady", f"{IPS[0]}: connection refused") in {
        (event["reason"], event["message"]) for event in shown
    }


async def _named(world: World, ips: tuple[str, ...]) -> bool:
    notes = " ".join(note for _, reason, note in await told(world) if reason == "AddressReady")
    return all(ip in notes for ip in ips)


async def test_events_are_absent_without_transitions(world: World) -> None:
    await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    await until(lambda: _named(world, IPS), "both reported", seconds=60)
    before, seen = await told(world), await world.probes()

    async def probed() -> bool:
        return await world.probes() >= seen + 4 * len(IPS)

    await until(probed, "more probes", seconds=60)
    assert await told(world) == before

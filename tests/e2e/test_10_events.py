"""A transition is reported in an Event on its ExternalService, which `kubectl describe` finds."""

from playground.client import EVENTS
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.until import until_equal

IPS = ("10.0.100.10", "10.0.100.11")


async def test_events_report_a_failure(world: World) -> None:
    parent = await world.apply(external_service("web", IPS))
    await world.until_published("web", ready(IPS))
    assert await world.events("AddressNotReady") == []
    world.hosts.switch(IPS[0], Mode.REFUSE)
    note = f"{IPS[0]}: connection refused"
    await until_equal(lambda: world.events("AddressNotReady"), [("web", "Warning", note)])
    field = f"involvedObject.uid={parent['metadata']['uid']}"  # as `kubectl describe` looks for them
    shown = (await world.client.get(EVENTS.path(world.namespace), fieldSelector=field))["items"]
    assert note in [event["message"] for event in shown if event["reason"] == "AddressNotReady"]

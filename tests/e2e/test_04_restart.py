"""Whatever is killed and started again, no address flips without evidence and no child is deleted."""

from collections.abc import Callable

from playground.scenarios.restart import restart
from tests.e2e.manifests import external_service
from tests.e2e.world import World

IPS = ("10.0.100.10", "10.0.100.11")


async def test_the_sidecar(world: World, figures: Callable[..., None]) -> None:
    report = await restart(world, external_service("web", IPS))
    figures(report)
    assert report.passed, report.as_lines()

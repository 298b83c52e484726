"""The sidecar is killed and started: nothing flips without evidence, nothing is written."""

from playground.__main__ import quick_example
from playground.scenarios.restart import restart
from playground.stack import Playground


async def test_a_restart_flips_nothing() -> None:
    async with Playground() as playground:
        report = await restart(playground, quick_example())
    assert report.passed, report.as_lines()

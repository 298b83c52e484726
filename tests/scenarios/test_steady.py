"""While probes run and Metacontroller resyncs, nobody writes."""

from playground.scenarios.steady import manifests, steady
from playground.stack import Playground


async def test_the_steady_state_costs_no_write() -> None:
    async with Playground(resync=1) as playground:
        report = await steady(playground, manifests(parents=2, addresses=10), seconds=5)
    assert report.passed, report.as_lines()

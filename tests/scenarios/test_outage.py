"""One of two addresses dies and recovers: it leaves in time and returns on evidence, whatever way it dies."""

import pytest

from playground.__main__ import quick_example
from playground.backends import Mode
from playground.scenarios.outage import outage
from playground.stack import Playground


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(Mode.REFUSE, id="refuses"),
        pytest.param(Mode.ERROR, id="answers 500"),
        pytest.param(Mode.STALL, id="accepts and stalls"),
    ],
)
async def test_an_outage_leaves_and_returns_within_its_bounds(mode: Mode) -> None:
    async with Playground() as playground:
        report = await outage(playground, quick_example(), mode=mode)
    assert report.passed, report.as_lines()

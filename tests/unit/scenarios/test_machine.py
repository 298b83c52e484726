"""Only time withheld by the machine is measured."""

import asyncio
import time

from tests.scenarios.machine import NEGLIGIBLE_SECONDS, Machine, watched


def test_lateness_counts_in_its_time_only() -> None:
    machine = Machine([(1.0, 0.25), (2.0, 0.5), (3.0, 1.0)])
    assert machine.withheld(1.0, 2.0) == 0.5
    assert machine.withheld(0.0, 3.0) == 1.75
    assert machine.withheld(3.0, 9.0) == 0.0


async def test_a_loop_that_is_held_up_is_seen_late() -> None:
    async with watched() as machine:
        await asyncio.sleep(0.02)
        begin = time.monotonic()
        time.sleep(0.3)  # noqa: ASYNC251 - this is the machine that withholds
        await asyncio.sleep(0.02)
    assert machine.withheld(begin, time.monotonic()) >= 0.3 - 0.01 - NEGLIGIBLE_SECONDS
    assert all(seconds > NEGLIGIBLE_SECONDS for _, seconds in machine.late)

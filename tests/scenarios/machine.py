"""The scheduling delay of a busy machine: how late a process that only sleeps is woken up."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.until import beside

TICK_SECONDS = 0.01
NEGLIGIBLE_SECONDS = 0.005


@dataclass(slots=True)
class Machine:
    """(when, seconds late) of each wake-up that was late."""

    late: list[tuple[float, float]] = field(default_factory=list)

    def withheld(self, begin: float, end: float) -> float:
        """Seconds of lateness between two moments (time.monotonic).

        A chain of processes, each of which must be woken in turn, is delayed about as long: subtract it before a
        measured time is compared with a bound that holds on an idle machine.
        """
        return sum(seconds for at, seconds in self.late if begin < at <= end)


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Machine]:
    """Records the lateness meanwhile."""
    machine = Machine()
    async with beside(_watch(machine)):
        yield machine


async def _watch(machine: Machine) -> None:
    while True:
        due = time.monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        if (seconds := time.monotonic() - due) > NEGLIGIBLE_SECONDS:
            machine.late.append((due + seconds, seconds))

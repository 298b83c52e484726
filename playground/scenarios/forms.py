"""flap in all its forms: guard and level-triggered writing on and off, at a short and a long window of Metacontroller.

With either protection alone nothing may be lost; with neither it must be, or the scenario proves nothing.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from playground.cluster import Cluster
from playground.report import Report
from playground.scenarios.flap import RESULTS, Flapping, flap

WINDOWS = (0.005, 2.0)


@dataclass(frozen=True, slots=True)
class Form:
    """What protects the results, and how long Metacontroller dawdles (s)."""

    guard: bool
    level: bool
    window: float

    @property
    def name(self) -> str:
        """As it is told."""
        protected = {
            (True, True): "guard and writing again",
            (True, False): "guard alone",
            (False, True): "writing again alone",
        }
        return f"{protected.get((self.guard, self.level), 'neither')}, window {self.window:g} s"


Place = Callable[[Form], AbstractAsyncContextManager[Cluster]]

FORMS = tuple(Form(guard, level, window) for window in WINDOWS for guard in (True, False) for level in (True, False))


async def all_forms(place: Place, how: Flapping) -> AsyncIterator[tuple[Form, Report]]:
    """Runs every form in a place of its own."""
    for form in FORMS:
        async with place(form) as cluster:
            yield form, await flap(cluster, replace(how, window=form.window))


def verdict(form: Form, report: Report) -> bool:
    """Guarded forms must keep every promise, writing again alone must lose nothing, neither must be seen to fail."""
    if form.guard:
        return report.passed
    if form.level:
        return all(check.passed for check in report.checks if check.name in RESULTS)
    return not report.passed

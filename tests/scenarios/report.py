"""The result of a scenario: checks with measured values and bounds, and other figures."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One promise. `measured` and `bound` are numbers or words with their unit in `name`."""

    name: str
    passed: bool
    measured: Any
    bound: Any


@dataclass(slots=True)
class Report:
    """All checks of one run, which has passed if there are checks and each has passed."""

    scenario: str
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def at_most(self, name: str, measured: float, bound: float) -> None:
        """A promise that a number stays at or below its bound."""
        self.checks.append(Check(name, measured <= bound, _short(measured), _short(bound)))

    def equal(self, name: str, measured: Any, wanted: Any) -> None:
        """A promise of one value."""
        self.checks.append(Check(name, measured == wanted, measured, wanted))

    def as_lines(self) -> list[str]:
        """One line a check, then the figures."""
        lines = [
            f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.measured} (allowed: {check.bound})"
            for check in self.checks
        ]
        lines += [f"     {name}: {value}" for name, value in self.figures.items()]
        return [*lines, f"{self.scenario}: {'passed' if self.passed else 'FAILED'}"]


def _short(number: float) -> float:
    return round(number, 3)

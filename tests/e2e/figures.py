"""The measured figures and one line per promise, printed at the end of the run and written to a file."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROMISE = "promise"  # user properties of a report, which pytest-xdist carries from a worker to the main process
FIGURES = "figures"


@dataclass
class Promise:
    """The results of one file of tests. `promise` is the first line of its docstring."""

    promise: str
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    skips: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        """FAIL if any failed; SKIP if none ran."""
        return "FAIL" if self.outcomes["failed"] else "ok" if self.outcomes["passed"] else "SKIP"


class Figures:
    """All results of one run of pytest. A plugin, so that it receives the reports of all workers."""

    def __init__(self) -> None:
        self.promises: dict[str, Promise] = {}
        """By file name."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds a report that has the user property PROMISE."""
        words = next((str(value) for name, value in report.user_properties if name == PROMISE), None)
        if words is None:
            return
        path, _, test = report.location
        promise = self.promises.setdefault(Path(path).name, Promise(words))
        promise.seconds += report.duration
        if report.when == "call" or report.outcome != "passed":
            promise.outcomes[report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            promise.skips.append(report.longrepr[2].removeprefix("Skipped: "))
        for name, values in report.user_properties if report.when == "call" else ():
            if name == FIGURES and isinstance(values, dict):
                promise.figures.setdefault(test, {}).update(values)

    def lines(self) -> Iterable[str]:
        """As text."""
        for file, one in self.promises.items():
            counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(one.outcomes.items()))
            yield f"{one.result:4} {file}: {one.promise} ({counted}; {one.seconds:.1f} s)"
            for reason in dict.fromkeys(one.skips):
                yield f"     skipped: {reason}"
            for test, values in one.figures.items():
                yield f"     {test}: " + ", ".join(f"{name} {_short(value)}" for name, value in values.items())

    def write(self, path: Path) -> None:
        """As JSON: by file, the fields of Promise and its result."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {file: {"result": one.result, **vars(one)} for file, one in self.promises.items()}
        path.write_text(json.dumps(content, indent=2) + "\n")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

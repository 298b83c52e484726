"""The measured figures and one line per promise, printed at the end of the run and written to a file."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROMISE = "promise"  # user properties of a report, which pytest-xdist carries from a worker to the main process
FIGURES = "figures"


@dataclass(slots=True)
class Promise:
    """One file of tests. `words` is the first line of its docstring."""

    file: str
    words: str
    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seconds: float = 0.0
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    skips: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """FAIL if any failed; SKIP if none ran."""
        if self.outcomes.get("failed"):
            return "FAIL"
        return "ok" if self.outcomes.get("passed") else "SKIP"


class Figures:
    """All results of one run of pytest. A plugin, so that it receives the reports of all workers."""

    def __init__(self) -> None:
        self.promises: dict[str, Promise] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds a report that has the user property PROMISE: the first line of its file's docstring."""
        words = next((str(value) for name, value in report.user_properties if name == PROMISE), None)
        if words is None:
            return
        path, _, test = report.location
        promise = self.promises.setdefault(path, Promise(Path(path).name, words))
        promise.seconds += report.duration
        if report.when == "call" or report.outcome != "passed":
            promise.outcomes[report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            promise.skips.append(report.longrepr[2].removeprefix("Skipped: "))
        if report.when == "call":
            for name, values in report.user_properties:
                if name == FIGURES and isinstance(values, dict):
                    promise.figures.setdefault(test, {}).update(values)

    def lines(self) -> Iterable[str]:
        """As text."""
        for one in self.promises.values():
            counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(one.outcomes.items()))
            yield f"{one.verdict:4} {one.file}: {one.words} ({counted}; {one.seconds:.1f} s)"
            for reason in dict.fromkeys(one.skips):
                yield f"     skipped: {reason}"
            for test, values in one.figures.items():
                yield f"     {test}: " + ", ".join(f"{name} {_short(value)}" for name, value in values.items())

    def write(self, path: Path) -> None:
        """As JSON: file -> result, words, outcomes, seconds, figures by test."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            one.file: {
                "verdict": one.verdict,
                "promise": one.words,
                "outcomes": one.outcomes,
                "seconds": round(one.seconds, 1),
                "figures": one.figures,
                "skips": one.skips,
            }
            for one in self.promises.values()
        }
        path.write_text(json.dumps(content, indent=2) + "\n")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

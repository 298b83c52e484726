"""Tests on each Kubernetes release: `python -m tests.e2e.versions [--loop] [--write] [RELEASE...]`.

Runs the tests with the marker `kubernetes(part)` once for each release (default: all of RELEASES), on an API server of
that release. With --loop the part "loop", the whole loop with hook and sidecar, runs on the oldest and newest of them.
--write stores the results in versions.json and the table in docs/compatibility.md. Exit status 1: a test failed.

It is also a plugin of pytest, which selects those tests and counts their outcomes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hack import compatibility as page
from tests.e2e.controlplane.build import RELEASES, WANTED, BuildFailed, GoMissing, build, release_of

ROOT = Path(__file__).resolve().parents[2]
TESTS = "tests/e2e"
LOOP = "loop"
COUNTS = "ESO_E2E_KUBERNETES_COUNTS"
WITH_LOOP = "ESO_E2E_KUBERNETES_LOOP"
SECONDS = 1_800

Results = dict[str, Any]

_counts: dict[str, Counter[str]] = defaultdict(Counter)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests that have the marker and need a real API server."""
    unwanted = None if os.environ.get(WITH_LOOP) else LOOP
    left_out = [item for item in items if not item.get_closest_marker("e2e") or part_of(item) in (None, unwanted)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call" or report.outcome != "passed":
        _counts[part_of(item) or ""][report.outcome] += 1
    return report


def pytest_sessionfinish() -> None:
    Path(os.environ[COUNTS]).write_text(json.dumps(_counts))


def part_of(item: pytest.Item) -> str | None:
    """The part that a test belongs to: the argument of its marker."""
    marker = item.get_closest_marker("kubernetes")
    return None if marker is None else str(marker.args[0])


def run(release: str, *, loop: bool) -> tuple[int, Results]:
    """The exit status of pytest on one release, and its results: the date, and part -> outcome -> number of tests."""
    with tempfile.TemporaryDirectory(prefix="kubernetes-") as directory:
        counts = Path(directory, "counts.json")
        environment = {
            **os.environ,
            WANTED: release,
            COUNTS: str(counts),
            WITH_LOOP: "1" if loop else "",
            "E2E_REQUIRED": "1",
        }
        command = (sys.executable, "-m", "pytest", "-q", "-p", "tests.e2e.versions", "-m", "e2e", TESTS)
        done = subprocess.run(command, check=False, cwd=ROOT, env=environment, timeout=SECONDS)
        found = json.loads(counts.read_text()) if counts.exists() else {}
    return done.returncode, {"date": f"{datetime.now(UTC):%Y-%m-%d}", "parts": found}


def chosen(wanted: Sequence[str]) -> list[str]:
    """The releases in RELEASES, the oldest first; BuildFailed for another one."""
    named = {release_of(one).removeprefix("v") for one in wanted}
    return [release for release in RELEASES if release in named or not named]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.versions")
    parser.add_argument("releases", nargs="*", metavar="RELEASE", help="such as 1.31 (default: all)")
    parser.add_argument("--loop", action="store_true", help="the whole loop too, on the oldest and the newest of them")
    parser.add_argument("--write", action="store_true", help="store the results, and the table in the documents")
    options = parser.parse_args(arguments)
    try:
        releases = chosen(options.releases)
    except BuildFailed as problem:
        parser.error(str(problem))
    failed = False
    for release in releases:
        try:
            build(release)
        except (GoMissing, BuildFailed) as problem:
            print(f"Kubernetes {release}: {problem}", file=sys.stderr)
            failed = True
            continue
        status, results = run(release, loop=options.loop and release in (releases[0], releases[-1]))
        failed = failed or status != 0
        print(f"Kubernetes {release}: " + ", ".join(page.cells(results["parts"])), flush=True)
        if options.write:
            page.store(release, results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

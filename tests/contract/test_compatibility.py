"""docs/compatibility.md is generated from the committed results of supported Kubernetes releases."""

from hack.compatibility import PAGE, document, stored
from tests.e2e.controlplane.build import RELEASES


def test_compatibility_page_equals_the_results() -> None:
    assert PAGE.read_text() == document(stored()), "run `python -m hack.compatibility`"


def test_results_are_of_supported_releases() -> None:
    assert set(stored()) <= set(RELEASES)


def test_every_stored_outcome_passed() -> None:
    outcomes = {kind for one in stored().values() for counts in one["parts"].values() for kind in counts}
    assert outcomes == {"passed"}


def test_page_shows_failures_and_parts_not_run() -> None:
    parts = {"CRD": {"passed": 4, "failed": 1}, "loop": {"passed": 3}}
    lines = document({"1.31.14": {"date": "2026-11-28", "parts": parts}}).splitlines()
    assert "| 1.31.14 | 4 of 5 | - | - | - | - | - | 3 of 3 | 2026-11-28 |" in lines

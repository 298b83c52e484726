"""Detection of lost and returning results in the watches of the flap scenario."""

import pytest

from tests.scenarios.flap import Result, check, published_again, stored_again
from tests.scenarios.report import Report
from tests.scenarios.timeline import Moment, StatusMoment, Timeline

A, B = "10.0.0.1", "10.0.0.2"


def status(revision: int, **numbers: tuple[bool, int]) -> StatusMoment:
    addresses = {{"a": A, "b": B}[name]: (ready, f"result {number}") for name, (ready, number) in numbers.items()}
    return StatusMoment(float(revision), revision, addresses)


def shown(a: bool, b: bool = False) -> Moment:
    return Moment(0.0, {A: a, B: b})


START = status(1, a=(False, 0), b=(False, 0))
UP = status(2, a=(True, 1), b=(False, 0))
DOWN = status(3, a=(False, 2), b=(False, 0))


@pytest.mark.parametrize(
    ("sequence", "again"),
    [
        pytest.param([START, UP, DOWN], 0, id="forward"),
        pytest.param([START, DOWN], 0, id="one left out"),
        pytest.param([START, UP, DOWN, UP], 1, id="back once"),
        pytest.param([START, UP, DOWN, UP, UP], 2, id="back and stays back"),
    ],
)
def test_older_results_stored_again_are_found(sequence: list[StatusMoment], again: int) -> None:
    assert stored_again(sequence) == again


@pytest.mark.parametrize(
    ("published", "statuses", "again"),
    [
        pytest.param([shown(False), shown(True), shown(False)], [START, UP, DOWN], 0, id="each in its turn"),
        pytest.param([shown(False), shown(True)], [START, UP, DOWN], 0, id="late, not older"),
        pytest.param([shown(False), shown(True), shown(False), shown(True)], [START, UP, DOWN], 1, id="from the past"),
        pytest.param(
            [shown(False), shown(True), shown(False), shown(True)], [START, UP, DOWN, UP], 1, id="from a stale status"
        ),
        pytest.param([shown(False), shown(True, True)], [START, UP, DOWN], 1, id="from no status at all"),
        pytest.param(
            [shown(False), shown(True), shown(False)],
            [START, UP, status(3, a=(True, 1), b=(True, 2)), status(4, a=(False, 3), b=(False, 4))],
            0,
            id="back to the same picture by newer results",
        ),
    ],
)
def test_older_states_published_again(published: list[Moment], statuses: list[StatusMoment], again: int) -> None:
    assert published_again(published, statuses) == again


def test_check_counts_lost_and_wrong_results() -> None:
    results = [Result(1, A, ready=True), Result(2, A, ready=False), Result(3, B, ready=True)]
    timeline = Timeline([shown(True, True)], [status(2, a=(True, 1), b=(True, 3))])
    report = Report("flap")
    check(report, timeline, results)
    assert [(one.name, one.measured) for one in report.checks] == [
        ("results lost in status", 1),
        ("addresses wrong in Endpoints", 1),
        ("older results stored again", 0),
        ("older states published again", 0),
    ]

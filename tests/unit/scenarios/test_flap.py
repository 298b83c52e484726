"""Detection of lost and returning results in the watches of the flap scenario."""

from tests.cases import cases
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


@cases(
    "sequence again",
    ("forward", [START, UP, DOWN], 0),
    ("one left out", [START, DOWN], 0),
    ("back once", [START, UP, DOWN, UP], 1),
    ("back and stays back", [START, UP, DOWN, UP, UP], 2),
)
def test_older_results_stored_again_are_found(sequence: list[StatusMoment], again: int) -> None:
    assert stored_again(sequence) == again


@cases(
    "published statuses again",
    ("each in its turn", [shown(False), shown(True), shown(False)], [START, UP, DOWN], 0),
    ("late, not older", [shown(False), shown(True)], [START, UP, DOWN], 0),
    ("from the past", [shown(False), shown(True), shown(False), shown(True)], [START, UP, DOWN], 1),
    ("from a stale status", [shown(False), shown(True), shown(False), shown(True)], [START, UP, DOWN, UP], 1),
    ("from no status at all", [shown(False), shown(True, True)], [START, UP, DOWN], 1),
    (
        "back to the same picture by newer results",
        [shown(False), shown(True), shown(False)],
        [START, UP, status(3, a=(True, 1), b=(True, 2)), status(4, a=(False, 3), b=(False, 4))],
        0,
    ),
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

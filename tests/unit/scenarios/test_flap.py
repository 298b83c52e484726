"""Detection of returning results in the watches of the flap scenario."""

from tests.cases import cases
from tests.scenarios.flap import published_again, stored_again
from tests.scenarios.timeline import Moment, StatusMoment

A, B = "10.0.0.1", "10.0.0.2"


def status(revision: int, a: tuple[bool, int], b: tuple[bool, int] = (False, 0)) -> StatusMoment:
    results = {ip: (ready, f"result {number}") for ip, (ready, number) in ((A, a), (B, b))}
    return StatusMoment(float(revision), revision, results)


def shown(a: bool, b: bool = False) -> Moment:
    return Moment(0.0, {A: a, B: b})


START, UP, DOWN = status(1, (False, 0)), status(2, (True, 1)), status(3, (False, 2))


@cases(
    "statuses again",
    ("forward", [START, UP, DOWN], []),
    ("one left out", [START, DOWN], []),
    ("back once", [START, UP, DOWN, UP], [UP]),
)
def test_older_results_stored_again_are_found(statuses: list[StatusMoment], again: list[StatusMoment]) -> None:
    assert stored_again(statuses) == again


@cases(
    "published statuses again",
    ("each in its turn", [shown(False), shown(True), shown(False)], [START, UP, DOWN], []),
    ("late, not older", [shown(False), shown(True)], [START, UP, DOWN], []),
    ("from the past", [shown(False), shown(True), shown(False), shown(True)], [START, UP, DOWN], [shown(True)]),
    ("from no status at all", [shown(False), shown(True, True)], [START, UP, DOWN], [shown(True, True)]),
    (
        "back to the same picture by newer results",
        [shown(False), shown(True), shown(False)],
        [START, UP, status(3, (True, 1), (True, 2)), status(4, (False, 3), (False, 4))],
        [],
    ),
)
def test_older_states_published_again(
    published: list[Moment], statuses: list[StatusMoment], again: list[Moment]
) -> None:
    assert published_again(published, statuses) == again

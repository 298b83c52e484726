"""How lost and returning results are told from what the watches have shown."""

import pytest

from playground.report import Report
from playground.scenarios.flap import RESULTS, Verdict, judge, published_again, stored_again
from playground.scenarios.forms import FORMS, Form, verdict
from playground.timeline import Moment, Timeline, Told

A, B = "10.0.0.1", "10.0.0.2"


def told(revision: int, **numbers: tuple[bool, int]) -> Told:
    addresses = {{"a": A, "b": B}[name]: (ready, f"verdict {number}") for name, (ready, number) in numbers.items()}
    return Told(float(revision), revision, addresses)


def shown(a: bool, b: bool = False) -> Moment:
    return Moment(0.0, {A: a, B: b})


START = told(1, a=(False, 0), b=(False, 0))
UP = told(2, a=(True, 1), b=(False, 0))
DOWN = told(3, a=(False, 2), b=(False, 0))


@pytest.mark.parametrize(
    ("sequence", "again"),
    [
        pytest.param([START, UP, DOWN], 0, id="forward"),
        pytest.param([START, DOWN], 0, id="one left out"),
        pytest.param([START, UP, DOWN, UP], 1, id="back once"),
        pytest.param([START, UP, DOWN, UP, UP], 2, id="back and stays back"),
    ],
)
def test_older_results_stored_again(sequence: list[Told], again: int) -> None:
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
            [START, UP, told(3, a=(True, 1), b=(True, 2)), told(4, a=(False, 3), b=(False, 4))],
            0,
            id="back to the same picture by newer verdicts",
        ),
    ],
)
def test_older_states_published_again(published: list[Moment], statuses: list[Told], again: int) -> None:
    assert published_again(published, statuses) == again


def test_what_is_lost_and_what_is_wrong() -> None:
    verdicts = [Verdict(1, A, ready=True), Verdict(2, A, ready=False), Verdict(3, B, ready=True)]
    timeline = Timeline([shown(True, True)], [told(2, a=(True, 1), b=(True, 3))])
    report = Report("flap")
    judge(report, timeline, verdicts)
    assert [(check.name, check.measured) for check in report.checks] == [
        ("results lost in status", 1),
        ("addresses wrong in Endpoints", 1),
        ("older results stored again", 0),
        ("older states published again", 0),
    ]


@pytest.mark.parametrize(
    ("form", "lost", "again", "held"),
    [
        pytest.param(Form(guard=True, level=True, window=1), 0, 0, True, id="the product keeps all"),
        pytest.param(Form(guard=True, level=True, window=1), 0, 1, False, id="the product may show nothing old"),
        pytest.param(Form(guard=True, level=False, window=1), 1, 0, False, id="the guard may lose nothing"),
        pytest.param(Form(guard=False, level=True, window=1), 0, 9, True, id="writing again may show old states"),
        pytest.param(Form(guard=False, level=True, window=1), 1, 0, False, id="but lose nothing"),
        pytest.param(Form(guard=False, level=False, window=1), 1, 0, True, id="neither must fail"),
        pytest.param(Form(guard=False, level=False, window=1), 0, 0, False, id="or proves nothing"),
    ],
)
def test_what_each_form_must_show(form: Form, lost: int, again: int, held: bool) -> None:
    report = Report("flap")
    for name in RESULTS:
        report.equal(name, lost, 0)
    report.equal("older states published again", again, 0)
    assert verdict(form, report) is held


def test_all_forms_are_four_at_two_windows() -> None:
    assert len({form.name for form in FORMS}) == 8

"""The judge of the soak finds each kind of wrong publication, and none in a correct one: else the soak cannot fail."""

from math import inf

import pytest

from tests.e2e.judge import Fault, Record, Shown, Span, Turn, faults, lost

IP = "10.20.0.1"
EVIDENCE = 6.0
UP, DOWN, ABSENT = True, False, None
TAKEN_OUT = "taken out, though its backend was healthy all the while"


def record(truth: list[tuple[float, bool]], shown: list[tuple[float, bool | None]], *, wanted: bool = True) -> Record:
    return Record(
        truth={IP: [Turn(*one) for one in truth]},
        wanted={IP: Span(0, inf)} if wanted else {},
        shown={IP: [Shown(*one) for one in shown]},
    )


def test_correct_publication_has_no_faults() -> None:
    right = record([(0, UP), (50, DOWN), (80, UP)], [(1, DOWN), (3, UP), (54, DOWN), (82, UP)])
    assert faults(right, EVIDENCE) == []
    assert lost(right, 60) == lost(right, 90) == []


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        pytest.param(record([(0, UP)], [(3, UP), (60, DOWN)]), Fault(60, IP, TAKEN_OUT), id="no cause"),
        pytest.param(
            record([(0, UP), (40, DOWN), (45, UP)], [(3, UP), (43, DOWN), (47, UP), (60, DOWN)]),
            Fault(60, IP, TAKEN_OUT),
            id="stale result",
        ),
        pytest.param(
            record([(0, DOWN)], [(1, DOWN), (60, UP)]),
            Fault(60, IP, "let in, though its backend was dead all the while"),
            id="dead address let in",
        ),
        pytest.param(
            record([(0, UP)], [(3, UP), (60, ABSENT), (61, UP)]),
            Fault(60, IP, "left out, though the spec names it"),
            id="left out",
        ),
        pytest.param(
            record([(0, UP)], [(3, UP)], wanted=False), Fault(3, IP, "published, though no spec names it"), id="no spec"
        ),
    ],
)
def test_wrong_publication_is_a_fault(planted: Record, fault: Fault) -> None:
    assert faults(planted, EVIDENCE) == [fault]


def test_lost_transition_is_found() -> None:
    planted = record([(0, UP), (50, DOWN)], [(3, UP)])
    assert lost(planted, 100) == [Fault(100, IP, "published as ready where not ready is true")]

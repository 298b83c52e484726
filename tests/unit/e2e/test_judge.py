"""The soak's judge: it sees every planted mistake, and none where there is none."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.judge import (
    Fault,
    Record,
    Shown,
    Span,
    Turn,
    Wrong,
    constantly,
    faults,
    lost,
    merged,
    slope,
    undisturbed,
    undisturbed_before,
    wrongs,
)

IP = "10.20.0.1"
EVIDENCE = 6.0
ALWAYS = Span(0, inf)
UP, DOWN, ABSENT = True, False, None


def record(
    truth: list[tuple[float, bool]],
    shown: list[tuple[float, bool | None]],
    *,
    wanted: Span | None = ALWAYS,
    outages: tuple[tuple[float, float], ...] = (),
    absences: tuple[tuple[float, float], ...] = (),
) -> Record:
    return Record(
        truth={IP: [Turn(*one) for one in truth]},
        wanted={} if wanted is None else {IP: wanted},
        shown={IP: [Shown(*one) for one in shown]},
        outages=[Span(*one) for one in outages],
        absences=[Span(*one) for one in absences],
    )


RIGHT = record([(0, UP), (50, DOWN), (80, UP)], [(1, DOWN), (3, UP), (54, DOWN), (82, UP)])


def test_a_faithful_publication_is_no_fault() -> None:
    assert faults(RIGHT, EVIDENCE) == []
    assert lost(RIGHT, 60) == lost(RIGHT, 90) == []
    assert [one.undisturbed for one in wrongs(RIGHT, 100)] == [2, 4, 2]


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        pytest.param(
            record([(0, UP)], [(1, DOWN), (3, UP), (60, DOWN), (61, UP)]),
            Fault(60, IP, "taken out, though its backend was healthy all the while"),
            id="a flip without a cause",
        ),
        pytest.param(
            record([(0, UP), (40, DOWN), (45, UP)], [(3, UP), (43, DOWN), (47, UP), (60, DOWN)]),
            Fault(60, IP, "taken out, though its backend was healthy all the while"),
            id="a verdict of long ago",
        ),
        pytest.param(
            record([(0, DOWN)], [(1, DOWN), (60, UP)]),
            Fault(60, IP, "let in, though its backend was dead all the while"),
            id="let in without a cause",
        ),
        pytest.param(
            record([(0, DOWN)], [(1, UP)]),
            Fault(1, IP, "let in, though its backend was dead all the while"),
            id="a new one that begins as ready",
        ),
        pytest.param(
            record([(0, UP)], [(3, UP), (60, ABSENT), (61, UP)]),
            Fault(60, IP, "left out, though the spec names it"),
            id="left out for a moment",
        ),
        pytest.param(
            record([(0, UP)], [(3, UP)], wanted=None),
            Fault(3, IP, "published, though no spec names it"),
            id="published without a spec",
        ),
        pytest.param(
            record([(0, UP)], [(3, UP), (60, DOWN)], outages=((40, 50),)),
            Fault(60, IP, "taken out, though its backend was healthy all the while"),
            id="an outage excuses only what was true before it",
        ),
        pytest.param(
            record([(0, UP), (40, DOWN), (45, UP)], [(3, UP), (60, DOWN)], absences=((46, 60),)),
            Fault(60, IP, "taken out, though its backend was healthy all the while"),
            id="that an owner was away excuses no old verdict",
        ),
    ],
)
def test_a_planted_fault_is_seen(planted: Record, what: Fault) -> None:
    assert faults(planted, EVIDENCE) == [what]


@pytest.mark.parametrize(
    "innocent",
    [
        pytest.param(record([(0, UP), (40, DOWN), (45, UP)], [(3, UP), (49, DOWN), (52, UP)]), id="told a little late"),
        pytest.param(
            record([(0, UP), (40, DOWN), (45, UP)], [(3, UP), (60, DOWN), (62, UP)], outages=((46, 58),)),
            id="told late because of an outage",
        ),
        pytest.param(record([(0, UP)], [(3, UP), (61, ABSENT)], wanted=Span(0, 60)), id="taken out of the spec"),
        pytest.param(record([(0, UP)], [(3, UP), (5, ABSENT), (6, UP)], wanted=Span(4, inf)), id="put in just now"),
        pytest.param(record([(0, DOWN)], [(1, DOWN)]), id="begins as not ready"),
    ],
)
def test_what_has_a_cause_is_no_fault(innocent: Record) -> None:
    assert faults(innocent, EVIDENCE) == []


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        pytest.param(
            record([(0, UP), (50, DOWN)], [(3, UP)]), "published as ready where not ready is true", id="death"
        ),
        pytest.param(
            record([(0, DOWN), (50, UP)], [(3, DOWN)]), "published as not ready where ready is true", id="return"
        ),
        pytest.param(record([(0, UP)], []), "published as nothing where ready is true", id="never published"),
        pytest.param(
            record([(0, UP)], [(3, UP)], wanted=Span(0, 50)), "published as ready where nothing is true", id="deletion"
        ),
    ],
)
def test_a_lost_transition_is_seen(planted: Record, words: str) -> None:
    assert lost(planted, 100) == [Fault(100, IP, words)]
    assert wrongs(planted, 100)[-1:] == ([Wrong(IP, 50, 100, 50)] if "not ready" in words else [])


def test_wrong_publications_have_their_duration_and_what_of_it_was_not_our_doing() -> None:
    told = record(
        [(0, UP), (50, DOWN), (80, UP)],
        [(3, UP), (60, DOWN), (81, UP)],
        outages=((52, 54),),
        absences=((53, 57), (90, 95)),
    )
    assert wrongs(told, 100) == [Wrong(IP, 50, 60, 5), Wrong(IP, 80, 81, 1)]


def test_what_no_spec_names_is_not_wrong() -> None:
    assert wrongs(record([(0, UP), (50, DOWN)], [(3, UP), (56, ABSENT)], wanted=Span(0, 51)), 100) == [
        Wrong(IP, 50, 51, 1)
    ]


def test_time() -> None:
    spans = merged([Span(10, 12), Span(0, 3), Span(11, 15), Span(3, 4)])
    assert spans == [Span(0, 4), Span(10, 15)]
    assert undisturbed(2, 20, spans) == 11
    assert undisturbed_before(20, 3, spans) == 17
    assert undisturbed_before(20, 6, spans) == 9
    assert undisturbed_before(14, 2, spans) == 8
    assert undisturbed_before(4, 1, spans) == -1
    assert constantly(RIGHT, IP, 51, 79) is DOWN
    assert constantly(RIGHT, IP, 49, 79) is None


def test_slope() -> None:
    assert slope([(0, 10), (1, 12), (2, 14)]) == pytest.approx(2)
    assert slope([(0, 10)]) == slope([]) == slope([(1, 5), (1, 7)]) == 0


@given(
    at=st.integers(0, 100),
    seconds=st.integers(0, 50),
    spans=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20)), max_size=8),
)
def test_as_many_seconds_are_undisturbed_as_were_asked_for(at: int, seconds: int, spans: list[tuple[int, int]]) -> None:
    disturbed = merged(Span(begin, begin + length) for begin, length in spans)
    assert undisturbed(undisturbed_before(at, seconds, disturbed), at, disturbed) == seconds

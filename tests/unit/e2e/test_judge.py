"""The judge of the soak finds each kind of wrong publication, and none in a correct one: else the soak cannot fail."""

from math import inf

from tests.cases import cases
from tests.e2e.judge import Fault, Record, Shown, Span, Turn, faults, lost

IP = "10.20.0.1"
EVIDENCE = 6.0
TAKEN_OUT = "taken out, though its backend was healthy all the while"
STATES = {"+": True, "-": False, ".": None}
"""Ready, not ready, absent."""


def history(text: str) -> list[tuple[float, bool | None]]:
    """`60-` is: at 60 s it became not ready."""
    return [(float(one[:-1]), STATES[one[-1]]) for one in text.split()]


def record(truth: str, shown: str, *, wanted: bool = True) -> Record:
    return Record(
        truth={IP: [Turn(at, bool(state)) for at, state in history(truth)]},
        wanted={IP: Span(0, inf)} if wanted else {},
        shown={IP: [Shown(*one) for one in history(shown)]},
    )


def test_correct_publication_has_no_faults() -> None:
    right = record("0+ 50- 80+", "1- 3+ 54- 82+")
    assert faults(right, EVIDENCE) == []
    assert lost(right, 60) == lost(right, 90) == []


@cases(
    "planted at what",
    ("no cause", record("0+", "3+ 60-"), 60, TAKEN_OUT),
    ("stale result", record("0+ 40- 45+", "3+ 43- 47+ 60-"), 60, TAKEN_OUT),
    ("dead address let in", record("0-", "1- 60+"), 60, "let in, though its backend was dead all the while"),
    ("left out", record("0+", "3+ 60. 61+"), 60, "left out, though the spec names it"),
    ("no spec", record("0+", "3+", wanted=False), 3, "published, though no spec names it"),
)
def test_wrong_publication_is_a_fault(planted: Record, at: float, what: str) -> None:
    assert faults(planted, EVIDENCE) == [Fault(at, IP, what)]


def test_lost_transition_is_found() -> None:
    planted = record("0+ 50-", "3+")
    assert lost(planted, 100) == [Fault(100, IP, "published as ready where not ready is true")]

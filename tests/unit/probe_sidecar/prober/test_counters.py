import pytest

from probe_sidecar.prober.counters import Durations, ProbeCounters
from probe_sidecar.probes.outcome import Outcome, Result
from tests.cases import cases


def test_durations_are_in_the_right_bucket() -> None:
    durations = Durations((0.1, 1.0))
    for seconds in (0.0, 0.1, 0.11, 1.0, 1.01, 60.0):
        durations.note(seconds)
    assert durations.counts == [2, 2, 2]
    assert durations.total == pytest.approx(62.22)


@cases(
    "result counts timed",
    ("success", Result.SUCCESS, (1, 0, 0), 1),
    ("a warning is a success", Result.WARNING, (1, 0, 0), 1),
    ("failures take time too", Result.FAILURE, (0, 1, 0), 1),
    ("our own fault says nothing of the address", Result.UNKNOWN, (0, 0, 1), 0),
)
def test_each_probe_is_counted_once(result: Result, counts: tuple[int, int, int], timed: int) -> None:
    tally = ProbeCounters("http")
    tally.note(Outcome(result, "words"), 0.2)
    assert (tally.successful, tally.failed, tally.unknown) == counts
    assert sum(tally.durations.counts) == timed


def test_transitions_are_counted_by_direction() -> None:
    tally = ProbeCounters("tcp")
    for ready in (True, False, True):
        tally.note_transition(ready)
    assert (tally.became_ready, tally.became_not_ready) == (2, 1)

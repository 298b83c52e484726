"""The latest results of an address, one byte each."""

import pytest

from probe_sidecar.prober.counters import LENGTH, appended
from probe_sidecar.probes.exchange import Result
from tests.unit.probe_sidecar.prober.rig import decoded


def test_history_keeps_the_newest_results() -> None:
    history = b""
    for number in range(LENGTH + 5):
        history = appended(history, Result.FAILURE if number == LENGTH + 4 else Result.SUCCESS, 0.0001)
    assert decoded(history) == [*[(Result.SUCCESS, 0.0001)] * (LENGTH - 1), (Result.FAILURE, 0.0001)]


@pytest.mark.parametrize("result", list(Result))
@pytest.mark.parametrize("seconds", [0.0001, 0.00057, 0.0123, 0.99, 1.0, 7.3, 25.0])
def test_duration_is_kept_within_11_percent(result: Result, seconds: float) -> None:
    [(kept, about)] = decoded(appended(b"", result, seconds))
    assert kept is result
    assert about == pytest.approx(seconds, rel=0.11)


def test_durations_out_of_scale_are_clipped() -> None:
    history = appended(appended(b"", Result.SUCCESS, 0.0), Result.SUCCESS, 86_400.0)
    assert [seconds for _, seconds in decoded(history)] == [0.0001, pytest.approx(27.6, rel=0.01)]

"""Due times by the kubelet's rules (docs/conformance.md, lines 29 to 31); time is an argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe_sidecar.prober.schedule import Schedule, delayed, following, within
from tests.cases import cases


@given(st.integers(0, 10**9), st.integers(1, 3600), st.integers(0, 1_000))
def test_grid_points_are_exact(point: int, period: int, missed: int) -> None:
    schedule: Schedule[str] = Schedule(0.01)
    due = schedule.add("a", point * 0.01)
    assert due == point * 0.01
    later = schedule.add("a", following(due, period, due + (missed + 0.5) * period))
    assert later == (point + (missed + 1) * period * 100) * 0.01


@given(st.floats(0, 1e6), st.integers(1, 3600), st.floats(0, 1e5))
def test_next_tick_is_in_the_future_on_the_grid(due: float, period: int, late: float) -> None:
    tick = following(due, period, due + late)
    assert due + late - 1e-6 <= tick <= due + late + period + 1e-6
    assert (tick - due) / period == pytest.approx(round((tick - due) / period), abs=1e-6)


@cases(
    "now expected",
    ("the-first-have-all-of-it", 100.0, 10.0),
    ("later-ones-the-rest", 102.0, 8.0),
    ("down-to-half", 105.0, 5.0),
    ("then-a-period-of-their-own", 105.1, 10.0),
    ("however-late", 500.0, 10.0),
)
def test_late_additions_are_spread_over_the_remaining_period(now: float, expected: float) -> None:
    assert within(100.0, 10.0, now) == expected


@cases(
    "first delay expected",
    ("no-delay-probes-at-once", 100.0, 0, 100.0),
    ("line-31-first-tick-after-the-delay", 100.0, 5, 110.0),
    ("line-31-tick-at-the-delay", 100.0, 10, 110.0),
    ("line-31-delay-counts-from-the-start-not-from-the-first-tick", 104.0, 10, 114.0),
    ("line-31-delay-over-before-the-first-tick", 104.0, 4, 104.0),
    ("line-31-longer-than-two-periods", 100.0, 25, 130.0),
)
def test_initial_delay(first: float, delay: int, expected: float) -> None:
    assert delayed(100.0, first, delay, 10) == pytest.approx(expected)

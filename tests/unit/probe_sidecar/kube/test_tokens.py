"""The token bucket, on a clock that only moves when told to."""

import pytest

from probe_sidecar.kube.tokens import RESOLUTION, TokenBucket


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def drained(clock: Clock, *, rate: float = 10, burst: int = 4) -> TokenBucket:
    bucket = TokenBucket(rate, burst, clock)
    for _ in range(burst):
        assert bucket.wait() == 0
        bucket.take()
    return bucket


def test_a_burst_goes_at_once_and_then_the_rate_rules(clock: Clock) -> None:
    bucket = drained(clock)
    assert bucket.wait() == pytest.approx(0.1)
    clock.now += 0.2
    assert bucket.wait() == 0


def test_it_never_holds_more_than_a_burst(clock: Clock) -> None:
    bucket = drained(clock)
    clock.now += 3_600
    for _ in range(4):
        bucket.take()
    assert bucket.wait() > 0


def test_a_debt_is_paid_back_first(clock: Clock) -> None:
    bucket = drained(clock)
    bucket.take()
    bucket.take()
    assert bucket.wait() == pytest.approx(0.3)


def test_a_wait_is_long_enough_to_end_it(clock: Clock) -> None:
    """Whatever the numbers: a loop that waits as it is told and asks again has its token after a few askings."""
    bucket = drained(clock, rate=3)
    for _ in range(1_000):
        asked = 0
        while wait := bucket.wait():
            asked += 1
            clock.now += wait
        assert asked <= 2
        bucket.take()


def test_a_rounding_error_is_waited_for_as_long_as_a_clock_can_tell(clock: Clock) -> None:
    bucket = drained(clock)
    clock.now += 0.1 - 1e-12
    assert bucket.wait() == RESOLUTION

"""The token bucket, on a clock that only moves when told to."""

import pytest

from probe_sidecar.kube.tokens import TokenBucket


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
    clock.now += 0.1
    assert bucket.wait() == pytest.approx(0, abs=1e-9)


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

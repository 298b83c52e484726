import pytest

from probe_sidecar.kube.backoff import Backoff


@pytest.mark.parametrize(
    ("random", "pauses"),
    [
        pytest.param(0.0, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0], id="the short end is half"),
        pytest.param(1.0, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0], id="the long end doubles up to the cap"),
    ],
)
def test_pauses_double_up_to_the_cap(random: float, pauses: list[float]) -> None:
    backoff = Backoff(1.0, 10.0, lambda: random)
    assert [backoff.pause() for _ in pauses] == pauses
    backoff.reset()
    assert backoff.pause() == pauses[0]


def test_the_server_may_ask_for_more_but_not_for_ever() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 0.0)
    assert [backoff.pause(retry_after) for retry_after in (7.0, 0.1, 86_400.0)] == [7.0, 1.0, 60.0]


def test_a_thousand_failures_overflow_nothing() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 0.0)
    assert {backoff.pause() for _ in range(3_000)} == {0.5, 1.0, 2.0, 4.0, 5.0}

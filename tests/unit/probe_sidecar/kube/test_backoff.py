from probe_sidecar.kube.errors import Backoff
from tests.cases import cases


@cases(
    "random pauses",
    ("the short end is half", 0.0, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]),
    ("the long end doubles up to the cap", 1.0, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
)
def test_back_off_doubles_up_to_the_maximum(random: float, pauses: list[float]) -> None:
    backoff = Backoff(1.0, 10.0, lambda: random)
    assert [backoff.pause() for _ in pauses] == pauses
    backoff.reset()
    assert backoff.pause() == pauses[0]


def test_retry_after_is_honoured_up_to_a_maximum() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 0.0)
    assert [backoff.pause(retry_after) for retry_after in (7.0, 0.1, 86_400.0)] == [7.0, 1.0, 60.0]


def test_back_off_after_1000_failures() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 0.0)
    assert {backoff.pause() for _ in range(3_000)} == {0.5, 1.0, 2.0, 4.0, 5.0}

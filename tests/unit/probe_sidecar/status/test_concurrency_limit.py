import pytest

from probe_sidecar.status.publisher import WAITING_SECONDS, ConcurrencyLimit


def answers(window: ConcurrencyLimit, *seconds: float, began: float = 0.0) -> list[int]:
    """The sizes after answers that took so long, all begun at once and not alone."""
    sizes = []
    for each in seconds:
        window.answered(began, began + each, alone=False)
        sizes.append(window.size)
    return sizes


def test_limit_starts_at_1_and_grows_with_each_round() -> None:
    window = ConcurrencyLimit(4)
    assert window.size == 1
    window.answered(0.0, 0.1, alone=True)
    assert window.size == 2
    assert answers(window, *[0.1] * 12) == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]


def test_constant_latency_does_not_lower_the_limit() -> None:
    window = ConcurrencyLimit(8)
    window.answered(0.0, 3.0, alone=True)
    assert answers(window, *[3.0 + WAITING_SECONDS] * 40)[-1] == 8


def test_growing_latency_halves_the_limit_once() -> None:
    window = ConcurrencyLimit(8)
    window.answered(0.0, 0.1, alone=True)
    assert answers(window, *[0.1] * 40)[-1] == 8
    late = 0.1 + WAITING_SECONDS * 1.01
    assert answers(window, *[late] * 8, began=10.0) == [4] * 8
    assert answers(window, late, began=11.0) == [2]
    assert answers(window, late, began=12.0) == [1]
    assert answers(window, late, began=13.0) == [1], "and one it is at least"


@pytest.mark.parametrize(("then", "size"), [(0.1, 1), (2.0, 2)])
def test_minimum_latency_is_measured_again(then: float, size: int) -> None:
    window = ConcurrencyLimit(8)
    window.answered(0.0, 0.1, alone=True)
    window.rest()
    assert window.size == 1
    window.answered(10.0, 10.0 + then, alone=True)
    window.rest()
    window.answered(20.0, 22.0, alone=False)
    assert window.size == size

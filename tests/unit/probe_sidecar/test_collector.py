"""Objects that are frozen and then abandoned are found by the next freeze."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from probe_sidecar.commands import REST_SECONDS, Freezer


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    """Nothing else collects meanwhile, and nothing stays frozen."""
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


class Node:
    """Abandoned, it keeps itself alive."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_not_frozen() -> None:
    node = ref(Node())
    Freezer(lambda: 0.0).freeze()
    assert node() is None
    assert gc.get_freeze_count() > 0


def test_unreachable_frozen_objects_are_freed_later() -> None:
    now = 0.0
    freezer = Freezer(lambda: now)
    held = Node()
    node = ref(held)
    freezer.freeze()
    del held
    gc.collect()
    assert node() is not None
    now += REST_SECONDS
    freezer.freeze()
    assert node() is None


def test_repeated_freezes_cost_one_collection() -> None:
    now = 0.0
    freezer = Freezer(lambda: now)
    freezer.freeze()
    node = ref(Node())
    now += REST_SECONDS - 1
    freezer.freeze()
    assert node() is not None
    now += 1
    freezer.freeze()
    assert node() is None

"""A key is held once, handled by one worker at a time, and backs off when it fails."""

import asyncio

import pytest

from playground.composite.workqueue import WorkQueue


async def test_keys_added_during_processing_are_queued_once() -> None:
    queue = WorkQueue()
    for _ in range(5):
        queue.add("a")
    assert await queue.get() == "a"
    for _ in range(5):
        queue.add("a")
    assert not queue.idle
    nobody = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0.02)
    assert not nobody.done(), "handled by two workers at once"
    queue.done("a")
    assert await nobody == "a"
    queue.done("a")
    assert queue.idle


async def test_back_off_doubles_until_forgotten() -> None:
    queue = WorkQueue()
    delays = [queue.add_rate_limited("a") for _ in range(4)]
    assert delays == pytest.approx([0.005, 0.01, 0.02, 0.04])
    for _ in range(30):
        longest = queue.add_rate_limited("b")
    assert longest == 1000
    queue.forget("a")
    assert queue.add_rate_limited("a") == pytest.approx(0.005)
    queue.close()

"""Order of the users of a scarce resource."""

import asyncio

import pytest

from probe_sidecar.fair_queue import FairPlaces, FairQueue, each_in_turn


def test_namespaces_and_their_services_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1x", "a1y", "a1z", "a2x", "b1x"):
        queue.push(item, (item[0], item[1]))
    assert [queue.pop() for _ in range(6)] == ["a1x", "b1x", "a2x", "a1y", "a1z", None]


def test_namespace_at_its_limit_is_skipped() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("a", ("a", "1"))
    queue.push("b", ("b", "1"))
    assert (queue.pop(lambda namespace: namespace == "b"), queue.pop(lambda _: False)) == ("b", None)
    assert (len(queue), "a" in queue, queue.waits("a"), queue.waits("b")) == (1, True, True, False)


def test_discarded_item_is_not_queued() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("a", ("a", "1"))
    assert [queue.discard("a"), queue.discard("a"), queue.pop()] == [True, False, None]


async def test_places_are_assigned_in_turn() -> None:
    places, order = FairPlaces(1), list[str]()
    await places.acquire(("a", ""))

    async def take(name: str) -> None:
        await places.acquire((name[0], name))
        order.append(name)
        places.release()

    tasks = [asyncio.create_task(take(name)) for name in ("a1", "a2", "a3", "b1")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    places.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a2", "b1", "a3"]
    await asyncio.wait_for(places.acquire(("c", "")), 1)


async def test_failed_call_does_not_keep_the_others_from_being_made(caplog: pytest.LogCaptureFixture) -> None:
    made = list[int]()
    await each_in_turn([lambda: made.append(1), lambda: made.append(1 // 0), lambda: made.append(2)])
    assert (made, len(caplog.records)) == ([1, 2], 1)

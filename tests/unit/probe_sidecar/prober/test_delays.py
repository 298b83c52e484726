"""Who is probed too seldom is said to be so once, and for as long as it lasts; on a loop whose time is virtual."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from probe_sidecar.prober.delays import FAULT, HOLD_SECONDS, NO_PLACE, Delays
from tests.virtual_time import virtually

Scenario = Callable[[Delays, list[str]], Coroutine[Any, Any, None]]


def scenario(body: Scenario) -> None:
    """`body(delays, changed)` in virtual time; `changed` are the uids of which a change was told, in order."""

    async def run() -> None:
        changed: list[str] = []
        await body(Delays(asyncio.get_running_loop(), changed.append), changed)

    virtually(run())


def test_it_begins_once_and_ends_when_nothing_has_happened_for_long() -> None:
    async def body(delays: Delays, changed: list[str]) -> None:
        for _ in range(100):  # at the limit for longer than anything is held
            delays.note("a", NO_PLACE)
            await asyncio.sleep(HOLD_SECONDS / 10)
        assert (changed, delays.reason("a"), len(delays)) == (["a"], NO_PLACE, 1)
        await asyncio.sleep(HOLD_SECONDS * 0.89)
        assert delays.reason("a") == NO_PLACE
        await asyncio.sleep(HOLD_SECONDS * 0.02)
        assert (changed, delays.reason("a"), len(delays)) == (["a", "a"], "", 0)

    scenario(body)


def test_the_first_reason_stands_until_the_end() -> None:
    async def body(delays: Delays, changed: list[str]) -> None:
        delays.note("a", FAULT)
        delays.note("a", NO_PLACE)
        delays.note("b", NO_PLACE)
        assert (delays.reason("a"), delays.reason("b"), changed) == (FAULT, NO_PLACE, ["a", "b"])

    scenario(body)


@pytest.mark.parametrize("again", [False, True])
def test_what_was_given_up_is_forgotten_and_begins_anew(again: bool) -> None:
    async def body(delays: Delays, changed: list[str]) -> None:
        delays.note("a", NO_PLACE)
        await asyncio.sleep(HOLD_SECONDS / 2)
        delays.forget("a")
        delays.forget("never")
        assert delays.reason("a") == ""
        if again:
            delays.note("a", FAULT)
        await asyncio.sleep(HOLD_SECONDS * 0.9)
        assert (delays.reason("a"), changed) == ((FAULT, ["a", "a"]) if again else ("", ["a"]))

    scenario(body)

"""A reason that is reported once, for as long as it lasts; in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from probe_sidecar.prober.sticky import StickyReason
from tests.virtual_time import virtually

SECONDS = 60.0


def scenario(body: Callable[[StickyReason, list[str]], Coroutine[Any, Any, None]]) -> None:
    """`body(reason, reported)` in virtual time; `reported` is each text as it changed."""

    async def run() -> None:
        reported: list[str] = []

        def report() -> None:
            if reason.text not in reported[-1:]:
                reported.append(reason.text)

        reason = StickyReason(asyncio.get_running_loop(), SECONDS, report)
        await body(reason, reported)

    virtually(run())


def test_reason_is_reported_at_once_and_stays_after_its_end() -> None:
    async def body(reason: StickyReason, reported: list[str]) -> None:
        reason.begin("one")
        assert reported == ["one"]
        await asyncio.sleep(10 * SECONDS)
        reason.end()
        await asyncio.sleep(SECONDS * 0.99)
        assert (reported, reason.text) == (["one"], "one")
        await asyncio.sleep(SECONDS * 0.02)
        assert (reported, reason.text) == (["one", ""], "")
        reason.begin("two")
        assert reported == ["one", "", "two"]

    scenario(body)


def test_intermittent_reason_is_reported_once() -> None:
    async def body(reason: StickyReason, reported: list[str]) -> None:
        for number in range(50):
            reason.begin(f"since {number}")
            await asyncio.sleep(3)
            reason.end()
            await asyncio.sleep(SECONDS * 0.9)
        assert reported == ["since 0"]
        await asyncio.sleep(SECONDS)
        assert reported == ["since 0", ""]

    scenario(body)


def test_noted_reason_ends_after_the_last_note() -> None:
    async def body(reason: StickyReason, reported: list[str]) -> None:
        for number in range(100):
            reason.note(f"note {number}")
            await asyncio.sleep(SECONDS / 10)
        assert (reported, reason.text) == (["note 0"], "note 0")
        await asyncio.sleep(SECONDS * 0.89)
        assert reason.text == "note 0"
        await asyncio.sleep(SECONDS * 0.02)
        assert (reported, reason.text) == (["note 0", ""], "")

    scenario(body)

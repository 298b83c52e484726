"""Waiting for something to become true, with a deadline: the only wait that tests and scenarios know."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


class Late(Exception):
    """It has not come true in time."""


async def until(
    holds: Callable[[], bool | Awaitable[bool]],
    what: str = "the condition",
    *,
    seconds: float = 10,
    every: float = 0.01,
) -> float:
    """Asks `holds` every `every` seconds; returns the seconds that passed, raises Late with `what` after `seconds`."""
    start = time.monotonic()
    while True:
        answer = holds()
        if await answer if inspect.isawaitable(answer) else answer:
            return time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise Late(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(every)

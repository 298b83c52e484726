"""A steady load, as of a client that does not wait."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from typing import Any

A_SECOND = 50


async def paced(once: Callable[[int], Coroutine[Any, Any, None]], count: int | None = None) -> None:
    """Calls `once(turn)` 50 times a second, whether or not earlier calls have ended; forever without a count."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for turn in itertools.count() if count is None else range(count):
            group.create_task(once(turn))
            await asyncio.sleep(max(0.0, begun + (turn + 1) / A_SECOND - time.monotonic()))

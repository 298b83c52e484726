"""Waiting for something to become true, with a deadline, the only waits of tests and scenarios; and work meanwhile."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


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


async def until_equal(
    read: Callable[[], Awaitable[object]], wanted: object, *, seconds: float = 60, every: float = 0.05
) -> float:
    """`until` a value that is read is this one; AssertionError with the last one and the wanted one after `seconds`."""
    found: list[object] = []

    async def holds() -> bool:
        found[:] = [await read()]
        return found == [wanted]

    try:
        return await until(holds, seconds=seconds, every=every)
    except Late:
        assert found == [wanted], f"after {seconds:g} s"
        raise


def wait(holds: Callable[[], object], what: str, *, seconds: float = 60, every: float = 0.1) -> float:
    """`until` without an event loop."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > seconds:
            raise Late(f"{what}: not within {seconds:g} s")
        time.sleep(every)
    return time.monotonic() - start


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs these while the block lasts, then cancels them. One that fails cancels the block, which raises its error."""
    failed: BaseExceptionGroup[BaseException] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        failed = failures
    if failed is not None:  # here, where it keeps its own context
        raise failed if len(failed.exceptions) > 1 else failed.exceptions[0]

"""What is told of a network that comes and goes; on a loop whose time is virtual."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from probe_sidecar.prober.suspicion import Suspicion
from tests.virtual_time import virtually

SECONDS = 60.0


def scenario(body: Callable[[Suspicion, list[str]], Coroutine[Any, Any, None]]) -> None:
    """`body(suspicion, told)` in virtual time; `told` is each text as it changed."""

    async def run() -> None:
        told: list[str] = []

        def tell() -> None:
            if suspicion.text not in told[-1:]:
                told.append(suspicion.text)

        suspicion = Suspicion(asyncio.get_running_loop(), SECONDS, tell)
        await body(suspicion, told)

    virtually(run())


def test_it_is_told_at_once_and_for_a_while_after_its_end() -> None:
    async def body(suspicion: Suspicion, told: list[str]) -> None:
        suspicion.begin("since one")
        assert told == ["since one"]
        await asyncio.sleep(10 * SECONDS)
        suspicion.end()
        await asyncio.sleep(SECONDS * 0.99)
        assert (told, suspicion.text) == (["since one"], "since one")
        await asyncio.sleep(SECONDS * 0.02)
        assert (told, suspicion.text) == (["since one", ""], "")
        suspicion.begin("since two")
        assert told == ["since one", "", "since two"]

    scenario(body)


def test_a_network_that_comes_and_goes_is_told_once() -> None:
    async def body(suspicion: Suspicion, told: list[str]) -> None:
        for number in range(50):
            suspicion.begin(f"since {number}")
            await asyncio.sleep(3)
            suspicion.end()
            await asyncio.sleep(SECONDS * 0.9)
        assert told == ["since 0"]
        await asyncio.sleep(SECONDS)
        assert told == ["since 0", ""]

    scenario(body)

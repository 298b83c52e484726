"""Which ExternalServices are probed less often than specified because of the prober itself (ADR 3).

What was so stays so until all has gone well for HOLD_SECONDS: a prober that comes and goes at its limit then costs two
writes of a status in that time, not one a probe (design R3).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HOLD_SECONDS: Final = 300.0

NO_PLACE: Final = "NoPlaceLeft"
"""A probe found no place among those in flight until the next one was due."""

FAULT: Final = "ProberFault"
"""Two probes of an address in a row have failed in the prober itself, each tried again before it was given up."""


@dataclass(slots=True)
class _Delay:
    reason: str
    until: float
    timer: asyncio.TimerHandle


class Delays:
    """`note` each time, `reason` says what stands; `on_change(uid)` hears when that begins and ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_change: Callable[[str], None]) -> None:
        self._loop = loop
        self._on_change = on_change
        self._found: dict[str, _Delay] = {}

    def __len__(self) -> int:
        return len(self._found)

    def note(self, uid: str, reason: str) -> None:
        """It has just happened; the first reason stands until the end."""
        held, until = self._found.get(uid), self._loop.time() + HOLD_SECONDS
        if held is not None:
            held.until = until
        else:
            self._found[uid] = _Delay(reason, until, self._loop.call_at(until, self._look, uid))
            self._on_change(uid)

    def reason(self, uid: str) -> str:
        """NO_PLACE, FAULT, or nothing."""
        held = self._found.get(uid)
        return held.reason if held else ""

    def forget(self, uid: str) -> None:
        """It is not ours any more."""
        held = self._found.pop(uid, None)
        if held is not None:
            held.timer.cancel()

    def _look(self, uid: str) -> None:
        held = self._found[uid]
        if held.until > self._loop.time():
            held.timer = self._loop.call_at(held.until, self._look, uid)
        else:
            del self._found[uid]
            self._on_change(uid)

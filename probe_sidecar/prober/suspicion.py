"""The text by which ExternalServices report a suspected outage, unchanged until the hold time has passed (ADR 11).

So a network that comes and goes costs two writes of a status in that time, not two each time (design R3).
"""

import asyncio
from collections.abc import Callable


class Suspicion:
    """`text` is what is told, empty: nothing. It goes on being told for `seconds` after each doubt.

    `on_change()` hears whenever there may be somebody to whom it has not been told, or is not to be told any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, on_change: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None
        self.text = ""

    def begin(self, text: str) -> None:
        """A doubt has begun. What is told already stays, for a new text is a write."""
        self._disarm()
        self.text = self.text or text
        self._on_change()

    def end(self) -> None:
        """The doubt is over."""
        self._disarm()
        self._timer = self._loop.call_later(self._seconds, self._forget)

    def _forget(self) -> None:
        self._timer, self.text = None, ""
        self._on_change()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

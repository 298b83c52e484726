"""A reason that stays for a while after it has ended, so that what comes and goes is not a write each time (R3)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class StickyReason:
    """`text` is the reason, empty for none. It stays unchanged until `seconds` after its end; a new text is a write.

    `on_change` is called whenever the text may have to be reported, or not any more.
    """

    loop: asyncio.AbstractEventLoop
    seconds: float
    on_change: Callable[[], None]
    text: str = ""
    _timer: asyncio.TimerHandle | None = None

    def begin(self, text: str) -> None:
        """It is so from now on. A text that is there stays."""
        self._stop_timer()
        self.text = self.text or text
        self.on_change()

    def end(self) -> None:
        """It is not so any more."""
        self._stop_timer()
        self._timer = self.loop.call_later(self.seconds, self._forget)

    def note(self, text: str) -> None:
        """It was so just now. A text that is there stays."""
        if not self.text:
            self.begin(text)
        self.end()

    def close(self) -> None:
        """No reason, and no call any more."""
        self._stop_timer()
        self.text = ""

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _forget(self) -> None:
        self.text = ""
        self.on_change()

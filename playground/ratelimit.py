"""The client-side rate limit of client-go: a token bucket with a first-in, first-out queue."""

import asyncio
import time


class TokenBucket:
    """`burst` tokens at most, `qps` new ones a second. The clock is time.monotonic."""

    def __init__(self, qps: float, burst: int) -> None:
        self._qps = qps
        self._burst = float(burst)
        self._tokens = float(burst)
        self._last = time.monotonic()

    def reserve(self) -> float:
        """Takes a token, perhaps a future one, and returns the seconds until it is available."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._qps) - 1
        self._last = now
        return max(0.0, -self._tokens / self._qps)

    def take(self) -> bool:
        """Takes a token if one is available now."""
        wait = self.reserve()
        if wait:
            self._tokens += 1
        return not wait

    async def wait(self) -> None:
        """Takes a token and waits until it is available."""
        if delay := self.reserve():
            await asyncio.sleep(delay)

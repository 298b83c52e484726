"""The rate-limited work queue of client-go: a key is queued once, and handled by one worker at a time."""

import asyncio
import time

BASE_SECONDS = 0.005  # DefaultTypedControllerRateLimiter: 5 ms doubling to 1000 s, beside a bucket of 10/s, burst 100
MOST_SECONDS = 1000.0


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


class WorkQueue:
    """Keys to handle. A key that is added while it is being handled is queued again after `done`."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._dirty: set[str] = set()
        self._active: set[str] = set()
        self._failures: dict[str, int] = {}
        self._bucket = TokenBucket(10, 100)
        self._timers: set[asyncio.TimerHandle] = set()

    def add(self, key: str) -> None:
        """Queues a key unless it is queued already."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._ready.put_nowait(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Queues a key after some seconds."""
        if seconds <= 0:
            self.add(key)
            return
        self._timers = {timer for timer in self._timers if timer.when() > asyncio.get_running_loop().time()}
        self._timers.add(asyncio.get_running_loop().call_later(seconds, self.add, key))

    def add_rate_limited(self, key: str) -> float:
        """Queues a key after its back-off, which doubles each time until `forget`; returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(min(BASE_SECONDS * 2.0 ** min(failures, 40), MOST_SECONDS), self._bucket.reserve())
        self.add_after(key, delay)
        return delay

    def forget(self, key: str) -> None:
        """Ends the back-off of a key."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """The next key; `done` must follow."""
        key = await self._ready.get()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: str) -> None:
        """Ends the handling of a key."""
        self._active.discard(key)
        if key in self._dirty:
            self._ready.put_nowait(key)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or being handled; keys in back-off do not count."""
        return not self._dirty and not self._active

    def close(self) -> None:
        """Cancels delayed keys."""
        for timer in self._timers:
            timer.cancel()

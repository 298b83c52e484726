"""How fast the API server may be asked: a token bucket as in client-go (util/flowcontrol)."""

from collections.abc import Callable

RESOLUTION = 0.001
"""Seconds: no wait is shorter. What a rounding error leaves of a token would otherwise be asked for again and again."""


class TokenBucket:
    """`rate` tokens a second, up to `burst`; full at the start. `clock` is monotonic seconds."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def wait(self) -> float:
        """Seconds until there is a token, RESOLUTION at least; 0 when there is one."""
        self._refill()
        return 0.0 if self._tokens >= 1 else max(RESOLUTION, (1 - self._tokens) / self._rate)

    def take(self) -> None:
        """Spend one. More than there are may be spent (a request that follows from another): it is paid back first."""
        self._refill()
        self._tokens -= 1

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._rate)
        self._at = now

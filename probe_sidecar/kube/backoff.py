"""Back-off between requests to the API server: exponential, with jitter, bounded."""

from collections.abc import Callable

LONGEST_RETRY_AFTER = 60.0
"""Seconds that a server's Retry-After is honoured for at most: a wrong one must not stop us."""


class Backoff:
    """The n-th pause in a row lies in [b/2, b] seconds, where b = min(cap, base * 2**n); `random` gives [0, 1)."""

    def __init__(self, base: float, cap: float, random: Callable[[], float]) -> None:
        self._base = base
        self._cap = cap
        self._random = random
        self.attempts = 0

    def pause(self, retry_after: float | None = None) -> float:
        """The next pause in seconds, never shorter than the server's Retry-After."""
        longest = min(self._cap, self._base * 2.0 ** min(self.attempts, 60))
        self.attempts += 1
        return max(longest * (1 + self._random()) / 2, min(retry_after or 0.0, LONGEST_RETRY_AFTER))

    def reset(self) -> None:
        """All is well again: the next pause is a short one."""
        self.attempts = 0

"""The latest results of one address, one byte each. Pure.

The upper two bits of a byte are the result, the lower six its duration on a logarithmic scale: level n means
0.1 ms * 1.22**n, which reaches 27 s, within 11 percent. Sixty results take 96 bytes of memory an address.
"""

from bisect import bisect_left
from typing import Final

from probe_sidecar.probes.outcome import Result

LENGTH: Final = 60
"""Results that are kept of each address."""

SHORTEST: Final = 0.0001
STEP: Final = 1.22
MOST: Final = 63

_CODES: Final = {result: number << 6 for number, result in enumerate(Result)}
_BOUNDS: Final = [SHORTEST * STEP ** (level + 0.5) for level in range(MOST)]
"""Between each level and the next, halfway on the scale."""
_BYTES: Final = [bytes((number,)) for number in range(256)]


def appended(history: bytes, result: Result, seconds: float) -> bytes:
    """The history after one more probe, oldest first, without what is older than the last LENGTH."""
    return history[1 - LENGTH :] + _BYTES[_CODES[result] | bisect_left(_BOUNDS, seconds)]


def decoded(history: bytes) -> list[tuple[Result, float]]:
    """Each result with its seconds, oldest first."""
    results = list(Result)
    return [(results[one >> 6], SHORTEST * STEP ** (one & MOST)) for one in history]

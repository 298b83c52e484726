"""Counts of results for the metrics, and the latest results of each address.

Plain numbers: the hot path only adds; sums and buckets are made when they are shown.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from probe_sidecar.probes.exchange import FAILURE, UNKNOWN, Outcome, Result

PROBE_BOUNDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds. Eight, for each ExternalService has them: near and far addresses, the default time-out, and longer ones."""

LATENESS_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds. On ticks of 10 ms a start is up to so late; without them a millisecond is usual."""

LENGTH: Final = 60
"""Results that are kept of each address."""

SHORTEST: Final = 0.0001
STEP: Final = 1.22
MOST: Final = 63

_CODES: Final = {result: number << 6 for number, result in enumerate(Result)}
_BOUNDS: Final = [SHORTEST * STEP ** (level + 0.5) for level in range(MOST)]
"""Between each level and the next, halfway on the scale."""
_BYTES: Final = [bytes((number,)) for number in range(256)]


class Durations:
    """A histogram of seconds: `counts[i]` lie in (bounds[i-1], bounds[i]], the last one above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


@dataclass(slots=True, eq=False)
class ProbeCounters:
    """Results of the probes of one ExternalService, over all its addresses. `probe_type` is "http", "tcp", "grpc"."""

    probe_type: str
    successful: int = 0
    failed: int = 0
    unknown: int = 0
    became_ready: int = 0
    became_not_ready: int = 0
    durations: Durations = field(default_factory=lambda: Durations(PROBE_BOUNDS))

    def note(self, outcome: Outcome, seconds: float) -> None:
        """Count one probe. A failure in the prober is no measurement of an address."""
        result = outcome.result
        if result is UNKNOWN:
            self.unknown += 1
            return
        if result is FAILURE:
            self.failed += 1
        else:
            self.successful += 1
        self.durations.note(seconds)

    def note_transition(self, ready: bool) -> None:
        """Count one transition."""
        if ready:
            self.became_ready += 1
        else:
            self.became_not_ready += 1


def appended(history: bytes, result: Result, seconds: float) -> bytes:
    """The history after one more probe, oldest first, without what is older than the last LENGTH.

    Each result is a byte. The upper two bits are the result, the lower six its duration on a logarithmic scale: level n
    means 0.1 ms * 1.22**n, which reaches 27 s, within 11 percent. Sixty results take 96 bytes of memory an address.
    """
    return history[1 - LENGTH :] + _BYTES[_CODES[result] | bisect_left(_BOUNDS, seconds)]

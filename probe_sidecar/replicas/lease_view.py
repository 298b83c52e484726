"""Which replicas are alive, as seen from here. No IO and no clock of its own.

As in client-go (tools/leaderelection), times in Leases are never compared with the local clock: a Lease lives
for its duration from when WE saw it change, so the clocks of different machines may differ as they like.
"""

from collections.abc import Mapping
from typing import Any

from probe_sidecar.replicas.lease import Lease, read


class LeaseView:
    """The Leases of one group, each with when it last changed before our eyes. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Lease, float]] = {}

    def observe(self, leases: Mapping[str, Mapping[str, Any]], changed: frozenset[str], now: float) -> None:
        """Take in what a watch shows: the whole set by uid, and the uids that came, changed or went."""
        for uid in changed:
            raw = leases.get(uid)
            if raw is None:
                self._seen.pop(uid, None)
            else:
                self._seen[uid] = read(raw), now

    def named(self, name: str) -> Lease | None:
        """The Lease of that name."""
        return next((lease for lease, _ in self._seen.values() if lease.name == name), None)

    def live(self, now: float) -> frozenset[str]:
        """The names of the Leases that are held and have not expired."""
        return frozenset(
            lease.name for lease, since in self._seen.values() if lease.holder and now < _end(lease, since)
        )

    def next_expiry(self, now: float) -> float | None:
        """When the next of the live ones expires unless it is renewed."""
        ends = (_end(lease, since) for lease, since in self._seen.values() if lease.holder)
        return min((end for end in ends if end > now), default=None)

    def dead(self, now: float, seconds: float) -> list[Lease]:
        """Those that have not changed for `seconds` beyond their end."""
        return [lease for lease, since in self._seen.values() if now >= _end(lease, since) + seconds]


def _end(lease: Lease, since: float) -> float:
    return since + lease.seconds

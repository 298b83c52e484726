"""The Leases (coordination.k8s.io/v1) of replicas as values, and which replicas are alive as seen from here. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from probe_sidecar.kube.client import Resource
from probe_sidecar.kube.errors import GARBAGE, ApiError

LEASES = Resource("coordination.k8s.io", "v1", "leases")

NAME_PREFIX = "probe-sidecar-"
GROUP_LABEL = "eso.crowdfox.com/prober-group"
"""Replicas with the same value share the work."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One Lease as read. `holder` is the process that wrote it, empty when it was given back."""

    uid: str
    name: str
    version: str
    holder: str
    seconds: int
    renewed: str


def lease_name(pod: str) -> str:
    """The name of a Pod's Lease."""
    return f"{NAME_PREFIX}{pod}"


def read(raw: Mapping[str, Any]) -> Lease:
    """A stored Lease; raises ApiError if it is not one. One that was emptied by hand counts as released."""
    metadata, found = raw.get("metadata"), raw.get("spec")
    if not isinstance(metadata, dict) or not all(metadata.get(field) for field in ("uid", "name", "resourceVersion")):
        raise ApiError(200, GARBAGE, "the response is not a Lease with uid, name and resourceVersion")
    told = found if isinstance(found, dict) else {}
    seconds = told.get("leaseDurationSeconds")
    return Lease(
        uid=metadata["uid"],
        name=metadata["name"],
        version=metadata["resourceVersion"],
        holder=str(told.get("holderIdentity") or ""),
        seconds=seconds if type(seconds) is int and seconds > 0 else 0,
        renewed=str(told.get("renewTime") or ""),
    )


class LeaseView:
    """The Leases of one group, each with when it last changed before our eyes. `now` is monotonic seconds.

    As in client-go (tools/leaderelection), times in Leases are never compared with the local clock: a Lease lives for
    its duration from when WE saw it change, so the clocks of different machines may differ as they like.
    """

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

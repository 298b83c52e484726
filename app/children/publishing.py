"""Publishes addresses as Endpoints, as EndpointSlices or as both, and switches between these without a gap.

A switch takes several syncs. Each step is taken when the observed children show the step before it. The only state is
an annotation on slices that are about to be deleted (ADR 13).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from app.children import endpoint_slice, endpoints
from app.children.metadata import Manifest
from external_service.kind import EndpointsForm
from external_service.readiness import PublishedAddress
from external_service.v1alpha1 import ExternalService

RETIRING = "eso.crowdfox.com/retiring-since"
HANDOVER = timedelta(seconds=60)
"""Seconds that our slices are kept after the Endpoints lost their skip-mirror label. Metacontroller does not send
mirrored slices to the hook, so the hook waits instead of checking: long enough for kube-controller-manager to elect a
new leader (15 s) and to mirror 1,000 Endpoints at its default 20 requests a second.
"""


@dataclass(frozen=True, slots=True)
class Observed:
    """The Endpoints and EndpointSlices that the parent owns, by name, as Metacontroller shows them; `now` in UTC.

    `service`: the parent owns a Service of its name.
    """

    endpoints: Mapping[str, Mapping[str, Any]]
    slices: Mapping[str, Mapping[str, Any]]
    now: datetime
    service: bool = True


NOTHING = Observed({}, {}, datetime.fromtimestamp(0, UTC))
"""State before the first sync, and for `render`."""


class Published(NamedTuple):
    """The children, and the seconds until the next sync, if one is needed."""

    children: list[Manifest]
    again: float | None = None


def publish(
    parent: ExternalService, addresses: tuple[PublishedAddress, ...], form: EndpointsForm, observed: Observed
) -> Published:
    """The children in `form`, or on the way there.

    A slice belongs to every Service that its label names, whatever owns it. New slices are therefore made only
    when the parent is seen to own it: otherwise an author of an ExternalService could add addresses to a Service
    of another owner.
    """
    stored = observed.endpoints.get(parent.metadata.name)
    if form == "Endpoints":
        retiring = _retiring(parent, addresses, observed)
        one = endpoints.desired(parent, addresses, mirrored=True, observed=stored)
        return Published([one, *retiring.children], retiring.again)
    slices = endpoint_slice.desired(parent, addresses, observed.slices)
    needed = _mirrored(parent, observed) and any(one["metadata"]["name"] not in observed.slices for one in slices)
    if not observed.service:
        slices = [one for one in slices if one["metadata"]["name"] in observed.slices]
    if form == "EndpointSlice" and not needed:
        return Published(slices)
    return Published([endpoints.desired(parent, addresses, mirrored=needed, observed=stored), *slices])


def _mirrored(parent: ExternalService, observed: Observed) -> bool:
    """Whether there are Endpoints that the cluster mirrors into slices of its own."""
    there = observed.endpoints.get(parent.metadata.name)
    return there is not None and endpoints.SKIP_MIRROR not in (there["metadata"].get("labels") or {})


def _retiring(parent: ExternalService, addresses: tuple[PublishedAddress, ...], observed: Observed) -> Published:
    """Our slices that are still there, kept up to date until HANDOVER has passed; no new ones.

    The time starts when the observed Endpoints can be mirrored.
    """
    if not observed.slices:
        return Published([])
    if not _mirrored(parent, observed):
        return Published(_kept(parent, addresses, observed, {}))
    since = _since(observed)
    rest = (since + HANDOVER - observed.now).total_seconds()
    kept = _kept(parent, addresses, observed, {RETIRING: since.isoformat()}) if rest > 0 else []
    return Published(kept, rest if kept else None)


def _kept(
    parent: ExternalService, addresses: tuple[PublishedAddress, ...], observed: Observed, annotations: dict[str, str]
) -> list[Manifest]:
    slices = endpoint_slice.desired(parent, addresses, observed.slices, annotations)
    return [one for one in slices if one["metadata"]["name"] in observed.slices]


def _since(observed: Observed) -> datetime:
    """Since when all of them have been retiring: the latest of their annotations; now where one has none."""
    return max((_stamp(one, observed.now) for one in observed.slices.values()), default=observed.now)


def _stamp(one: Mapping[str, Any], now: datetime) -> datetime:
    """`now`, too, for what a hand has made of it: no time, or one to come."""
    try:
        return min(datetime.fromisoformat((one["metadata"].get("annotations") or {}).get(RETIRING, "")), now)
    except (ValueError, TypeError):
        return now

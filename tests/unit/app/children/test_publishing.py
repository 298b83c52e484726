"""Endpoints, EndpointSlices or both: the children of each form; no switch leaves a gap or revives a dead address."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.children import endpoint_slice, endpoints
from app.children.publishing import HANDOVER, RETIRING, Observed, publish
from external_service.kind import EndpointsForm
from external_service.readiness import PublishedAddress
from tests.cases import cases
from tests.parents import parent

PARENT = parent()
READY, DEAD, DRAINED = frozenset({"10.0.0.1", "10.0.0.2", "2001:db8::1"}), "10.0.0.3", "10.0.0.4"
ADDRESSES = (
    *(PublishedAddress(ip, True, True, False) for ip in sorted(READY)),
    PublishedAddress(DEAD, False, False, False),
    PublishedAddress(DRAINED, False, True, True),
)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLAIN = endpoints.desired(PARENT, ADDRESSES, mirrored=True)
UNMIRRORED = endpoints.desired(PARENT, ADDRESSES, mirrored=False)
EARLIER = {**UNMIRRORED, "metadata": PLAIN["metadata"]}
"""As earlier hooks made them: mirrored, with the addresses that are not ready."""
SLICES = endpoint_slice.desired(PARENT, ADDRESSES, {})
ALL_SLICES = {one["metadata"]["name"]: one for one in SLICES}
ONE_SLICE = {"api-ipv4-0": SLICES[0]}


def observed(shown: Mapping[str, Any] | None, slices: Mapping[str, Any], now: datetime = NOW) -> Observed:
    return Observed({} if shown is None else {"api": shown}, slices, now)


def stamped(since: str, slices: Mapping[str, Any] = ALL_SLICES) -> dict[str, Any]:
    return {
        name: {**one, "metadata": {**one["metadata"], "annotations": {RETIRING: since}}} for name, one in slices.items()
    }


@cases(
    "form shown slices children",
    ("Endpoints, new", "Endpoints", None, {}, [PLAIN]),
    ("EndpointSlice, new", "EndpointSlice", None, {}, SLICES),
    ("Both, new: never mirrored", "Both", None, {}, [UNMIRRORED, *SLICES]),
    ("Endpoints, settled", "Endpoints", PLAIN, {}, [PLAIN]),
    ("earlier Endpoints: not-ready addresses leave", "Endpoints", EARLIER, {}, [PLAIN]),
    ("earlier Endpoints, to Both", "Both", EARLIER, {}, [PLAIN, *SLICES]),
    ("EndpointSlice, settled", "EndpointSlice", None, ALL_SLICES, SLICES),
    ("Both, settled", "Both", UNMIRRORED, ALL_SLICES, [UNMIRRORED, *SLICES]),
    ("to EndpointSlice: Endpoints stay", "EndpointSlice", PLAIN, {}, [PLAIN, *SLICES]),
    ("until each slice is seen", "EndpointSlice", PLAIN, ONE_SLICE, [PLAIN, *SLICES]),
    ("and go then", "EndpointSlice", PLAIN, ALL_SLICES, SLICES),
    ("to Both: mirrored until each slice is seen", "Both", PLAIN, ONE_SLICE, [PLAIN, *SLICES]),
    ("and no longer then", "Both", PLAIN, ALL_SLICES, [UNMIRRORED, *SLICES]),
    ("one more slice does not mirror again", "Both", UNMIRRORED, ONE_SLICE, [UNMIRRORED, *SLICES]),
    ("from Both to EndpointSlice at once", "EndpointSlice", UNMIRRORED, ONE_SLICE, SLICES),
    ("from Both: slices stay", "Endpoints", UNMIRRORED, ALL_SLICES, [PLAIN, *SLICES]),
    ("from EndpointSlice: slices stay", "Endpoints", None, ALL_SLICES, [PLAIN, *SLICES]),
    ("but no new ones are made", "Endpoints", UNMIRRORED, ONE_SLICE, [PLAIN, SLICES[0]]),
)
def test_endpoints_form_and_observed_children_decide(
    form: EndpointsForm, shown: Any, slices: Any, children: list[Any]
) -> None:
    assert publish(PARENT, ADDRESSES, form, observed(shown, slices)) == (children, None)


@cases(
    "form shown slices children",
    ("no slice", "EndpointSlice", None, {}, []),
    ("Endpoints alone", "Both", None, {}, [UNMIRRORED]),
    ("and they stay mirrored", "Both", PLAIN, {}, [PLAIN]),
    ("a slice that exists stays", "Both", UNMIRRORED, ONE_SLICE, [UNMIRRORED, SLICES[0]]),
)
def test_slices_are_not_created_without_a_service(
    form: EndpointsForm, shown: Any, slices: Any, children: list[Any]
) -> None:
    there = replace(observed(shown, slices), service=False)
    assert publish(PARENT, ADDRESSES, form, there) == (children, None)


SINCE = NOW.isoformat()


@cases(
    "slices seconds since again",
    ("the time begins to run", ALL_SLICES, 0, SINCE, 60.0),
    ("it runs", stamped(SINCE), 10, SINCE, 50.0),
    ("the youngest counts", stamped(SINCE, ONE_SLICE) | {"api-ipv6-0": SLICES[1]}, 10, None, 60.0),
    ("a hand wrote no time", stamped("soon"), 10, None, 60.0),
    ("a hand wrote a time without a zone", stamped("2026-01-01T12:00:00"), 10, None, 60.0),
    ("a hand wrote a time to come", stamped("2099-01-01T00:00:00+00:00"), 10, None, 60.0),
)
def test_slices_remain_after_the_switch_to_endpoints(
    slices: Any, seconds: int, since: str | None, again: float
) -> None:
    now = NOW + timedelta(seconds=seconds)
    given = publish(PARENT, ADDRESSES, "Endpoints", observed(PLAIN, slices, now))
    assert given == ([PLAIN, *stamped(since or now.isoformat()).values()], again)


def test_slices_are_removed_after_the_retirement_time() -> None:
    later = observed(PLAIN, stamped(SINCE), NOW + HANDOVER)
    assert publish(PARENT, ADDRESSES, "Endpoints", later) == ([PLAIN], None)

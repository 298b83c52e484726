"""What a `.status` as read says of the addresses: pure, and lenient, for anybody may have edited it by hand."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeGuard, TypeVar

from pydantic import BaseModel, ValidationError

from external_service.v1alpha1 import AddressStatus, ChildProblem, Condition

Object = dict[str, Any]
M = TypeVar("M", bound=BaseModel)

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def known_addresses(parent: Mapping[str, Any]) -> dict[str, AddressStatus]:
    """What the probes last said, by address, as the state to start from (design R6).

    A drained address (reason Disabled) comes back as its probe saw it. Left out, and thus started anew: what has no
    verdict yet (Pending, Denied), and entries that are malformed or contradict themselves.
    """
    verdicts = (_verdict(entry) for entry in seen_addresses(parent).values())
    return {verdict.ip: verdict for verdict in verdicts if verdict is not None}


def seen_status(parent: Mapping[str, Any]) -> Object:
    """The `.status` as read; an absent or wrong-shaped one is empty."""
    status = parent.get("status")
    return status if isinstance(status, dict) else {}


def seen_addresses(parent: Mapping[str, Any]) -> dict[str, AddressStatus]:
    """The well-formed entries of `.status.addresses` by address; of duplicates the first."""
    found: dict[str, AddressStatus] = {}
    for entry in _entries(parent, "addresses"):
        address = _parsed(AddressStatus, entry)
        if address is not None:
            found.setdefault(address.ip, address)
    return found


def seen_entries(parent: Mapping[str, Any]) -> dict[str, Object]:
    """The entries of `.status.addresses` as they were read, by address; of duplicates the first that is well-formed."""
    entries = _entries(parent, "addresses")
    found = {entry["ip"]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("ip"), str)}
    if len(found) == len(entries):
        return found
    firsts: dict[str, Object] = {}
    for entry in entries:
        if _parsed(AddressStatus, entry) is not None:
            firsts.setdefault(entry["ip"], entry)
    return firsts


def seen_names(parent: Mapping[str, Any]) -> dict[str, str]:
    """Address -> name, of the well-formed entries that carry one."""
    if not any(isinstance(entry, dict) and entry.get("hostname") for entry in _entries(parent, "addresses")):
        return {}
    return {ip: address.hostname for ip, address in seen_addresses(parent).items() if address.hostname}


def seen_conditions(parent: Mapping[str, Any]) -> dict[str, Object]:
    """The well-formed conditions as they were read, by type; of duplicates the first."""
    found: dict[str, Object] = {}
    for entry in _entries(parent, "conditions"):
        if _parsed(Condition, entry) is not None:
            found.setdefault(entry["type"], entry)
    return found


def seen_children(parent: Mapping[str, Any]) -> tuple[ChildProblem, ...]:
    """The well-formed reports of the hook in `.status.children`."""
    found = []
    for entry in _entries(parent, "children"):
        with suppress(ValidationError):
            found.append(ChildProblem.model_validate(entry, strict=True))
    return tuple(found)


def seen_delay(parent: Mapping[str, Any]) -> str:
    """The reason of the condition ProbesDelayed while that is True, else nothing."""
    found = seen_conditions(parent).get("ProbesDelayed", {})
    return str(found["reason"]) if found.get("status") == "True" else ""


def seen_doubt(parent: Mapping[str, Any]) -> bool:
    """Whether the condition ProberDegraded is True."""
    return seen_conditions(parent).get("ProberDegraded", {}).get("status") == "True"


def seen_revision(parent: Mapping[str, Any]) -> int | None:
    """`.status.revision` if it is one: an integer of 0 or more."""
    revision = seen_status(parent).get("revision")
    return revision if type(revision) is int and revision >= 0 else None


def is_time(value: Any) -> TypeGuard[str]:
    """Whether it is a time as we write it: RFC 3339 in UTC, whole seconds."""
    return isinstance(value, str) and _RFC3339.fullmatch(value) is not None


def _entries(parent: Mapping[str, Any], field: str) -> list[Any]:
    entries = seen_status(parent).get(field)
    return entries if isinstance(entries, list) else []


def _parsed(kind: type[M], entry: Any) -> M | None:
    """`entry` as a `kind`; strict, for a "yes" or a 1 that somebody wrote is no boolean to the API server."""
    try:
        parsed = kind.model_validate(entry, strict=True)
    except ValidationError:
        return None
    return parsed if is_time(entry.get("lastTransitionTime")) else None


def _verdict(seen: AddressStatus) -> AddressStatus | None:
    if seen.reason == "Disabled":
        if seen.ready or seen.serving is None:
            return None
        reason = "ProbeSucceeded" if seen.serving else "ProbeFailed"
        return seen.model_copy(update={"ready": seen.serving, "reason": reason, "serving": None})
    # A probe that was added to a CR leaves its addresses ready (NoProbe, then Pending) until there is evidence (R6).
    ready = seen.reason != "ProbeFailed"
    return seen if seen.serving is None and seen.ready is ready and seen.reason != "Denied" else None

"""A `.status` as read from the API server, parsed once and leniently: anyone may have edited it by hand. Pure."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self, TypeGuard, TypeVar

from pydantic import TypeAdapter, ValidationError

from external_service.kind import NOT_PROBED, Reason
from external_service.v1alpha1 import AddressStatus, ChildProblem, Condition
from probe_sidecar.kube.documents import Object

T = TypeVar("T")

_ADDRESS, _CONDITION = TypeAdapter(AddressStatus), TypeAdapter(Condition)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """The well-formed part of a status; of duplicates the first. Malformed entries are left out.

    `raw` is the status itself, empty if it is absent or not a mapping; `generation` is that of the object (0: none).
    `addresses` are by address, `conditions` by type, as they were read.
    """

    generation: int
    raw: Object
    addresses: Mapping[str, AddressStatus]
    conditions: Mapping[str, Object]
    children: tuple[ChildProblem, ...]

    @classmethod
    def read(cls, parent: Mapping[str, Any]) -> Self:
        """The status of an object as read."""
        metadata = parent.get("metadata")
        generation = metadata.get("generation") if isinstance(metadata, dict) else None
        raw = stored_status(parent)
        return cls(generation if type(generation) is int else 0, raw, _addresses(raw), _conditions(raw), _children(raw))

    @property
    def revision(self) -> int:
        """See `revision`."""
        return revision(self.raw)

    @property
    def summary(self) -> object:
        """`.status.summary`, as read."""
        return self.raw.get("summary")

    @property
    def hostnames(self) -> dict[str, str]:
        """Address -> name, of the addresses that have one."""
        return {ip: one.hostname for ip, one in self.addresses.items() if one.hostname}

    @property
    def delay(self) -> str:
        """The reason of the condition ProbesDelayed while that is True, else empty."""
        found = self.conditions.get("ProbesDelayed", {})
        return str(found["reason"]) if found.get("status") == "True" else ""

    @property
    def suspected_outage(self) -> bool:
        """Whether the condition SuspectedOutage is True."""
        return self.conditions.get("SuspectedOutage", {}).get("status") == "True"

    def probed(self) -> dict[str, AddressStatus]:
        """The latest probe result by address, as the state to start from (design R6).

        A drained address (reason Disabled) is returned as its probe found it. Addresses without a result (Pending,
        Denied) and entries that contradict themselves are left out, and thus start as new ones.
        """
        results = ((ip, _probed(one)) for ip, one in self.addresses.items())
        return {ip: result for ip, result in results if result is not None}


def stored_status(parent: Mapping[str, Any]) -> Object:
    """The `.status` as read; an absent or wrong-shaped one is empty."""
    status = parent.get("status")
    return status if isinstance(status, dict) else {}


def is_time(value: Any) -> TypeGuard[str]:
    """Whether it is a time as we write it: RFC 3339 in UTC, whole seconds."""
    return isinstance(value, str) and _RFC3339.fullmatch(value) is not None


def revision(status: Object) -> int:
    """`.status.revision` if it is one, an integer of 0 or more; else 0."""
    found = status.get("revision")
    return found if type(found) is int and found >= 0 else 0


def _addresses(raw: Object) -> dict[str, AddressStatus]:
    found: dict[str, AddressStatus] = {}
    for entry in _entries(raw, "addresses"):
        address = _parsed(_ADDRESS, entry)
        if address is not None:
            found.setdefault(address.ip, address)
    return found


def _conditions(raw: Object) -> dict[str, Object]:
    found: dict[str, Object] = {}
    for entry in _entries(raw, "conditions"):
        if _parsed(_CONDITION, entry) is not None:
            found.setdefault(entry["type"], entry)
    return found


def _children(raw: Object) -> tuple[ChildProblem, ...]:
    found = []
    for entry in _entries(raw, "children"):
        with suppress(ValidationError):
            found.append(ChildProblem.model_validate(entry, strict=True))
    return tuple(found)


def _entries(raw: Object, field: str) -> list[Any]:
    entries = raw.get(field)
    return entries if isinstance(entries, list) else []


def _parsed(adapter: TypeAdapter[T], entry: Any) -> T | None:
    """`entry` as the type of `adapter`; a "yes" or a 1 written by hand is no boolean to the API server."""
    try:
        parsed = adapter.validate_python(entry)
    except ValidationError:
        return None
    return parsed if is_time(entry.get("lastTransitionTime")) else None


def _probed(stored: AddressStatus) -> AddressStatus | None:
    if stored.reason == "Disabled":
        if stored.ready or stored.serving is None:
            return None
        reason: Reason = "ProbeSucceeded" if stored.serving else "ProbeFailed"
        return replace(stored, ready=stored.serving, reason=reason, serving=None)
    if stored.reason == "NoProbe":  # a probe that was added leaves the addresses ready until there is evidence (R6)
        stored = replace(stored, reason="Pending", message=NOT_PROBED)
    ready = stored.reason != "ProbeFailed"
    return stored if stored.serving is None and stored.ready is ready and stored.reason != "Denied" else None

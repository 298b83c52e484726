"""The whole wanted `.status` of one ExternalService: pure. `patch` turns it into a write, `publisher` sends that."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.api.policy import AddressPolicy
from app.api.v1alpha1 import AddressStatus, ExternalServiceSpec, ExternalServiceStatus
from probe_sidecar.status.addresses import wanted_addresses
from probe_sidecar.status.conditions import ready_column, wanted_conditions
from probe_sidecar.status.known import seen_addresses, seen_conditions, seen_revision, seen_status
from probe_sidecar.status.patch import same

Object = dict[str, Any]

NOT_OURS = ("observedGeneration", "children")
"""Written by Metacontroller and by the hook; ours only to remove when it is not what the API says."""


def desired_status(
    parent: Mapping[str, Any],
    spec: ExternalServiceSpec,
    results: Mapping[str, AddressStatus],
    policy: AddressPolicy,
    now: str,
) -> Object:
    """The wanted status of `parent` (as read), equal to the one it has where nothing is to be told.

    `results` are the latest verdicts by address, `now` is RFC 3339 in UTC. What others wrote stays. `revision` is one
    more than the seen one if anything of ours differs (the guard of design R1 takes nothing else), else the same.
    """
    seen = seen_status(parent)
    addresses = tuple(wanted_addresses(spec, results, seen_addresses(parent), policy, now))
    ours: Object = {
        "ready": ready_column(spec, addresses),
        "addresses": [_raw(address) for address in addresses],
        "conditions": wanted_conditions(
            spec, addresses, seen_conditions(parent), policy, generation=_generation(parent), now=now
        ),
    }
    wanted = {field: value for field, value in seen.items() if field not in NOT_OURS or _sound(field, value)} | ours
    revision = seen_revision(parent)
    if revision is None or not same(seen, wanted):
        wanted["revision"] = (revision or 0) + 1
    return wanted


def _raw(address: AddressStatus) -> Object:
    raw: Object = {
        "ip": address.ip,
        "ready": address.ready,
        "reason": address.reason,
        "message": address.message,
        "lastTransitionTime": address.lastTransitionTime,
    }
    if address.serving is not None:
        raw["serving"] = address.serving
    return raw


def _generation(parent: Mapping[str, Any]) -> int:
    metadata = parent.get("metadata")
    generation = metadata.get("generation") if isinstance(metadata, dict) else None
    return generation if type(generation) is int else 0


def _sound(field: str, value: Any) -> bool:
    """Whether the hook can read it: it refuses a wrong-shaped status, and waits for us to write a sound one."""
    try:
        ExternalServiceStatus.model_validate({field: value})
    except ValidationError:
        return False
    return value is not None

"""The whole wanted `.status` of one ExternalService: pure. `patch` turns it into a write, `publisher` sends that."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec, ExternalServiceStatus
from probe_sidecar.status.addresses import verdicts, wanted_addresses
from probe_sidecar.status.conditions import Finding, ready_column, rejected_conditions, wanted_conditions
from probe_sidecar.status.known import seen_addresses, seen_conditions, seen_entries, seen_revision, seen_status
from probe_sidecar.status.patch import same

Object = dict[str, Any]

MODELLED = frozenset(ExternalServiceStatus.model_fields) - {"addresses", "conditions"}
"""Fields of which a wrong shape is dropped, whoever wrote it. Unknown fields stay: they are not ours to judge."""


def desired_status(
    parent: Mapping[str, Any],
    spec: ExternalServiceSpec,
    results: Mapping[str, AddressStatus],
    policy: AddressPolicy,
    now: str,
    *,
    problem: str = "",
    delayed: str = "",
    doubt: str = "",
    names: Mapping[str, str] = MappingProxyType({}),
    resolution: Finding | None = None,
) -> Object:
    """The wanted status of `parent` (as read), equal to the one it has where nothing is to be told.

    `results` are the latest verdicts by address, `now` is RFC 3339 in UTC. What others wrote stays. `revision` is one
    more than the seen one if anything of ours differs (the guard of design R1 takes nothing else), else the same.
    `problem` tells what keeps the probes from being made as they are written: a CA that cannot be had. `delayed` is the
    reason of ProbesDelayed, if there is one. `doubt` tells why the prober suspects its own network, if it does. `names`
    are the addresses of spec.hostnames with their names, `resolution` what is to be told of those (None: nothing new).
    """
    wanted = verdicts(spec, results, policy, names)
    seen, generation = seen_conditions(parent), _generation(parent)
    ours: Object = {
        "ready": ready_column(spec, wanted),
        "addresses": list(wanted_addresses(wanted, seen_entries(parent), now)),
        "conditions": wanted_conditions(
            spec,
            wanted,
            seen,
            policy,
            generation=generation,
            now=now,
            problem=problem,
            delayed=delayed,
            doubt=doubt,
            resolution=resolution,
        ),
    }
    return _revised(parent, ours)


def rejected_status(parent: Mapping[str, Any], problem: str, now: str) -> Object:
    """The wanted status of a parent whose spec cannot be read: Accepted says why, all else stays as it is.

    What was published stays published (design R5); only what no reader could make sense of is dropped.
    """
    seen = seen_status(parent)
    ours: Object = {
        "conditions": rejected_conditions(seen_conditions(parent), problem, generation=_generation(parent), now=now)
    }
    if "addresses" in seen:
        ours["addresses"] = [_raw(address) for address in seen_addresses(parent).values()]
    return _revised(parent, ours)


def _revised(parent: Mapping[str, Any], ours: Object) -> Object:
    """`ours` over what is there, less what is not sound; with the next revision if that makes a difference."""
    seen = seen_status(parent)
    kept = {field: value for field, value in seen.items() if field not in MODELLED or _sound(field, value)}
    revision = seen_revision(parent)
    wanted = kept | ours | {"revision": revision or 0}
    if not same(seen, wanted):
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
    if address.hostname is not None:
        raw["hostname"] = address.hostname
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

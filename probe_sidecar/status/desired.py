"""The whole wanted `.status` of one ExternalService: pure. `patch` turns it into a write, `publisher` sends that."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from external_service.policy import AddressPolicy
from external_service.readiness import publication
from external_service.v1alpha1 import AddressStatus, ChildProblem, ExternalServiceSpec, ExternalServiceStatus
from probe_sidecar.status.addresses import verdicts, wanted_addresses
from probe_sidecar.status.conditions import (
    CAProblem,
    Finding,
    ready_column,
    rejected_conditions,
    resolved,
    wanted_conditions,
)
from probe_sidecar.status.known import seen_addresses, seen_conditions, seen_entries, seen_revision, seen_status
from probe_sidecar.status.patch import same
from probe_sidecar.status.summary import hosts_text, invalid, ips_text, missing_children, summary

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
    children: Sequence[ChildProblem] = (),
    problem: CAProblem | None = None,
    delayed: str = "",
    doubt: str = "",
    names: Mapping[str, str] = MappingProxyType({}),
    resolution: Finding | None = None,
) -> Object:
    """The wanted status of `parent` (as read), equal to the one it has where nothing is to be told.

    `results` are the latest verdicts by address, `now` is RFC 3339 in UTC. What others wrote stays. `revision` is one
    more than the seen one if anything of ours differs (the guard of design R1 takes nothing else), else the same.
    `children` are the hook's reports of children that are not as wanted. `problem` is a CA that cannot be read.
    `delayed` is the
    reason of ProbesDelayed, if there is one. `doubt` tells why the prober suspects its own network, if it does. `names`
    are the addresses of spec.hostnames with their names, `resolution` what is to be told of those (None: nothing new).
    """
    wanted = verdicts(spec, results, policy, names)
    seen, generation = seen_conditions(parent), _generation(parent)
    failing_open = spec.minReady != 0 and publication(spec, wanted, policy, wanted).failing_open
    ours: Object = {
        "ready": ready_column(spec, wanted),
        "summary": summary(
            spec,
            wanted,
            failing_open=failing_open,
            children=children,
            problem=problem,
            delayed=delayed,
            suspected_outage=bool(doubt),
            resolution=resolved(spec, seen, resolution),
        ),
        "hosts": hosts_text(spec) or None,
        "ips": ips_text(wanted) or None,
        "addresses": list(wanted_addresses(wanted, seen_entries(parent), now)),
        "conditions": wanted_conditions(
            spec,
            wanted,
            seen,
            generation=generation,
            now=now,
            failing_open=failing_open,
            missing=missing_children(children),
            problem=problem.message if problem else "",
            delayed=delayed,
            doubt=doubt,
            resolution=resolution,
        ),
    }
    return _revised(parent, ours)


def rejected_status(parent: Mapping[str, Any], problem: str, now: str) -> Object:
    """The wanted status of a parent whose spec cannot be read: Accepted and the summary say why, the rest stays.

    What was published stays published (design R5); only what no reader could make sense of is dropped.
    """
    seen = seen_status(parent)
    ours: Object = {
        "summary": invalid(problem),
        "conditions": rejected_conditions(seen_conditions(parent), problem, generation=_generation(parent), now=now),
    }
    if "addresses" in seen:
        ours["addresses"] = [_raw(address) for address in seen_addresses(parent).values()]
    return _revised(parent, ours)


def _revised(parent: Mapping[str, Any], ours: Object) -> Object:
    """`ours` over what is there, without unsound fields; with the next revision if that makes a difference.

    A field of `ours` that is None is removed.
    """
    seen = seen_status(parent)
    kept = {field: value for field, value in seen.items() if field not in MODELLED or _sound(field, value)}
    revision = seen_revision(parent)
    merged = kept | ours | {"revision": revision or 0}
    wanted = {field: value for field, value in merged.items() if field not in ours or value is not None}
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

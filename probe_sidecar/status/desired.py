"""The whole wanted `.status` of one ExternalService: pure. `patch` turns it into a write, `publisher` sends that."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from external_service.policy import AddressPolicy
from external_service.readiness import publication
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec, ExternalServiceStatus
from probe_sidecar.kube.documents import Object
from probe_sidecar.status.addresses import raw_address, wanted_addresses
from probe_sidecar.status.conditions import (
    NO_PROBLEMS,
    Problems,
    ready_column,
    rejected_conditions,
    resolved,
    wanted_conditions,
)
from probe_sidecar.status.patch import same
from probe_sidecar.status.stored import StoredStatus
from probe_sidecar.status.summary import hosts_text, invalid, ips_text, missing_children, summary

MODELLED = frozenset(ExternalServiceStatus.model_fields) - {"addresses", "conditions"}
"""Fields of which a wrong shape is dropped, by any author. Unknown fields stay: other writers own them."""


def desired_status(
    stored: StoredStatus,
    spec: ExternalServiceSpec,
    states: Mapping[str, AddressStatus],
    policy: AddressPolicy,
    now: str,
    *,
    hostnames: Mapping[str, str] = MappingProxyType({}),
    problems: Problems = NO_PROBLEMS,
) -> Object:
    """The wanted status of an object, equal to the stored one if nothing has changed.

    `states` are the results of the probes by address, `now` is RFC 3339 in UTC. `hostnames` are the addresses of
    spec.hostnames with their names. Fields written by others stay. `revision` is one more than the stored one if a
    field of the prober differs (required by the guard of design R1), else the same.
    """
    wanted = wanted_addresses(spec, states, stored.addresses, policy, now, hostnames=hostnames)
    failing_open = spec.minReady != 0 and publication(spec, wanted, policy, wanted).failing_open
    resolution = resolved(spec, stored.conditions, problems.resolution)
    missing = missing_children(problems.children)
    ours: Object = {
        "ready": ready_column(spec, wanted),
        "summary": summary(spec, wanted, problems, resolution, failing_open=failing_open),
        "hosts": hosts_text(spec) or None,
        "ips": ips_text(wanted) or None,
        "addresses": [raw_address(one) for one in wanted.values()],
        "conditions": wanted_conditions(
            spec, wanted, problems, stored, now, missing=missing, failing_open=failing_open
        ),
    }
    return _revised(stored, ours)


def rejected_status(stored: StoredStatus, problem: str, now: str) -> Object:
    """The wanted status of a parent whose spec cannot be read: Accepted and the summary say why, the rest stays.

    Published addresses stay published (design R5); only malformed entries are dropped.
    """
    ours: Object = {"summary": invalid(problem), "conditions": rejected_conditions(stored, problem, now)}
    if "addresses" in stored.raw:
        ours["addresses"] = [raw_address(one) for one in stored.addresses.values()]
    return _revised(stored, ours)


def _revised(stored: StoredStatus, ours: Object) -> Object:
    """`ours` over what is there, without unsound fields; with the next revision if that makes a difference.

    A field of `ours` that is None is removed.
    """
    kept = {field: value for field, value in stored.raw.items() if field not in MODELLED or _sound(field, value)}
    revision = stored.revision or 0
    merged = kept | ours | {"revision": revision}
    wanted = {field: value for field, value in merged.items() if field not in ours or value is not None}
    if not same(stored.raw, wanted):
        wanted["revision"] = revision + 1
    return wanted


def _sound(field: str, value: Any) -> bool:
    """Whether the hook can read it: it refuses a wrong-shaped status, and waits for us to write a sound one."""
    try:
        ExternalServiceStatus.model_validate({field: value})
    except ValidationError:
        return False
    return value is not None

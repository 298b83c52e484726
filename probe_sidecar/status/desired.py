"""The whole wanted `.status` of one ExternalService: pure. `patch` turns it into a write, `publisher` sends that."""

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from external_service.kind import NOT_PROBED
from external_service.policy import AddressPolicy
from external_service.readiness import publication
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec, ExternalServiceStatus
from probe_sidecar.kube.documents import Object
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

ADDRESS_FIELDS = tuple(field.name for field in fields(AddressStatus))

NO_PROBE = "no readinessProbe: always ready"


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


def wanted_addresses(
    spec: ExternalServiceSpec,
    states: Mapping[str, AddressStatus],
    stored: Mapping[str, AddressStatus],
    policy: AddressPolicy,
    now: str,
    *,
    hostnames: Mapping[str, str],
) -> dict[str, AddressStatus]:
    """Every address in spec order, duplicates dropped; then those of `hostnames` (address -> name).

    `states` are the results of the probes, `stored` is the status as read, `now` is RFC 3339 in UTC.
    """
    found: dict[str, AddressStatus] = {}
    for ip in dict.fromkeys((*spec.ips, *hostnames)):
        refused = policy.refusal(ip)
        if refused is not None:
            wanted = AddressStatus(ip=ip, ready=False, reason="Denied", message=refused, lastTransitionTime="")
        else:
            wanted = _probed(spec, ip, states.get(ip))
            if ip in spec.disabled:
                wanted = _drained(wanted)
        since, hostname = _since(wanted, stored.get(ip), now), hostnames.get(ip)
        if (wanted.lastTransitionTime, wanted.hostname) != (since, hostname):
            wanted = replace(wanted, lastTransitionTime=since, hostname=hostname)
        found[ip] = wanted
    return found


def raw_address(address: AddressStatus) -> Object:
    """The entry as it is written: without the fields that do not apply."""
    return {field: value for field in ADDRESS_FIELDS if (value := getattr(address, field)) is not None}


def _probed(spec: ExternalServiceSpec, ip: str, state: AddressStatus | None) -> AddressStatus:
    """The state as the probe found it, at the time at which it did; without a result of a probe at no time."""
    if spec.readinessProbe is None:
        return AddressStatus(ip=ip, ready=True, reason="NoProbe", message=NO_PROBE, lastTransitionTime="")
    if state is not None and state.reason in ("ProbeSucceeded", "ProbeFailed"):
        return state
    # Ready without evidence: a probe was just added, and a changed probe changes no readiness (R6).
    ready = state is not None and state.ready
    return AddressStatus(ip=ip, ready=ready, reason="Pending", message=NOT_PROBED, lastTransitionTime="")


def _drained(probed: AddressStatus) -> AddressStatus:
    unknown = probed.reason == "Pending" and not probed.ready
    return AddressStatus(
        ip=probed.ip,
        ready=False,
        serving=None if unknown else probed.ready,
        reason="Disabled",
        message=probed.message,
        lastTransitionTime="",
    )


def _since(wanted: AddressStatus, stored: AddressStatus | None, now: str) -> str:
    """When `ready` last changed. The probe's own time, unless the change came later, from the spec (a drain).

    RFC 3339 in UTC with whole seconds, so that texts compare as times.
    """
    found = wanted.lastTransitionTime
    if stored is None:
        return found or now
    since = stored.lastTransitionTime
    if stored.ready is not wanted.ready:
        return found if found > since else now
    if found and since > now:  # a hand: we know better
        return found
    return max(since, found)  # one in our future is of a replica whose clock runs ahead, and stays


def _revised(stored: StoredStatus, ours: Object) -> Object:
    """`ours` over what is there, without unsound fields; with the next revision if that makes a difference.

    A field of `ours` that is None is removed.
    """
    kept = {field: value for field, value in stored.raw.items() if field not in MODELLED or _sound(field, value)}
    revision = stored.revision
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

"""The wanted `.status.addresses`: pure, from the spec, the state that the probes found, and the stored status."""

from collections.abc import Mapping
from dataclasses import replace

from external_service.kind import NOT_PROBED
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from probe_sidecar.kube.documents import Object

NO_PROBE = "no readinessProbe: always ready"


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
    disabled = frozenset(spec.disabledIPs)
    found: dict[str, AddressStatus] = {}
    for ip in dict.fromkeys((*spec.ips, *hostnames)):
        refused = policy.refusal(ip)
        if refused is not None:
            wanted = AddressStatus(ip=ip, ready=False, reason="Denied", message=refused, lastTransitionTime="")
        else:
            wanted = _probed(spec, ip, states.get(ip))
            if ip in disabled:
                wanted = _drained(wanted)
        since, hostname = _since(wanted, stored.get(ip), now), hostnames.get(ip)
        if (wanted.lastTransitionTime, wanted.hostname) != (since, hostname):
            wanted = replace(wanted, lastTransitionTime=since, hostname=hostname)
        found[ip] = wanted
    return found


def raw_address(address: AddressStatus) -> Object:
    """The entry as it is written: without the fields that do not apply."""
    entry: Object = {
        "ip": address.ip,
        "ready": address.ready,
        "reason": address.reason,
        "message": address.message,
        "lastTransitionTime": address.lastTransitionTime,
    }
    if address.serving is not None:
        entry["serving"] = address.serving
    if address.hostname is not None:
        entry["hostname"] = address.hostname
    return entry


def _probed(spec: ExternalServiceSpec, ip: str, state: AddressStatus | None) -> AddressStatus:
    """The state as the probe found it, at the time at which it did; without a result of a probe at no time."""
    if spec.readinessProbe is None:
        return AddressStatus(ip=ip, ready=True, reason="NoProbe", message=NO_PROBE, lastTransitionTime="")
    if state is not None and state.reason in ("ProbeSucceeded", "ProbeFailed"):
        return state
    # Ready without evidence: a probe was just added, and a changed probe changes no readiness (R6).
    ready = state is not None and state.healthy and state.reason != "Denied"
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

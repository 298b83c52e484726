"""The wanted `.status.addresses`: pure, from the spec, the probes' results and what the status says now."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.api.policy import AddressPolicy, refusal
from app.api.v1alpha1 import AddressStatus, ExternalServiceSpec, Reason

NOT_PROBED = "not probed yet"
NO_PROBE = "no readinessProbe: always ready"


class Verdict(NamedTuple):
    """What is to be said of one address; `since` (RFC 3339) is when a probe found it, empty where none did."""

    ready: bool
    serving: bool | None
    reason: Reason
    message: str
    since: str = ""


def wanted_addresses(
    spec: ExternalServiceSpec,
    results: Mapping[str, AddressStatus],
    seen: Mapping[str, AddressStatus],
    policy: AddressPolicy,
    now: str,
) -> Iterator[AddressStatus]:
    """One entry an address in spec order, duplicates dropped."""
    disabled = frozenset(spec.disabledIPs)
    for ip in dict.fromkeys(spec.ips):
        verdict = _verdict(spec, results.get(ip), refusal(ip, policy), drained=ip in disabled)
        yield AddressStatus(
            ip=ip,
            ready=verdict.ready,
            serving=verdict.serving,
            reason=verdict.reason,
            message=verdict.message,
            lastTransitionTime=_since(verdict, seen.get(ip), now),
        )


def _verdict(spec: ExternalServiceSpec, result: AddressStatus | None, refused: str | None, *, drained: bool) -> Verdict:
    if refused is not None:
        return Verdict(False, None, "Denied", refused)
    health = _health(spec, result)
    if not drained:
        return health
    unknown = health.reason == "Pending" and not health.ready
    return Verdict(False, None if unknown else health.ready, "Disabled", health.message)


def _health(spec: ExternalServiceSpec, result: AddressStatus | None) -> Verdict:
    if spec.readinessProbe is None:
        return Verdict(True, None, "NoProbe", NO_PROBE)
    if result is None:
        return Verdict(False, None, "Pending", NOT_PROBED)
    if result.reason in ("ProbeSucceeded", "ProbeFailed"):
        return Verdict(result.ready, None, result.reason, result.message, result.lastTransitionTime)
    # Ready without evidence: a probe was just added to a CR that had none, and a probe edit flips nothing (R6).
    return Verdict(result.healthy and result.reason != "Denied", None, "Pending", NOT_PROBED)


def _since(verdict: Verdict, seen: AddressStatus | None, now: str) -> str:
    """When `ready` last changed. The probe's own time, unless the change came later, from the spec (a drain).

    RFC 3339 in UTC with whole seconds, so that texts compare as times.
    """
    if seen is None:
        return verdict.since or now
    if seen.ready is not verdict.ready:
        return verdict.since if verdict.since > seen.lastTransitionTime else now
    if seen.lastTransitionTime > now:  # a clock that ran ahead, or a hand
        return verdict.since or now
    return max(seen.lastTransitionTime, verdict.since)

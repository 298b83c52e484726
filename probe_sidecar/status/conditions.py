"""The wanted `.status.conditions`: Ready, Accepted and, with `spec.minReady`, FailOpen. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from app.api.policy import AddressPolicy
from app.api.readiness import publication
from app.api.v1alpha1 import MAX_CONDITIONS, AddressStatus, ExternalServiceSpec

Object = dict[str, Any]

OURS = ("Ready", "Accepted", "FailOpen")
MOST_NAMED = 8
"""Denied addresses that the Accepted condition names; each stands with its reason in `.status.addresses` anyway."""


class Finding(NamedTuple):
    """A condition without its times."""

    type: str
    status: bool
    reason: str
    message: str


def wanted_conditions(
    spec: ExternalServiceSpec,
    addresses: Sequence[AddressStatus],
    seen: Mapping[str, Object],
    policy: AddressPolicy,
    *,
    generation: int,
    now: str,
) -> list[Object]:
    """Ours first, then those of others as they were read (conditions are a map by type, by API convention)."""
    ours = [
        _condition(finding, seen.get(finding.type), generation, now) for finding in _findings(spec, addresses, policy)
    ]
    others = [condition for kind, condition in seen.items() if kind not in OURS]
    return ours + others[: MAX_CONDITIONS - len(OURS)]


def ready_column(spec: ExternalServiceSpec, addresses: Sequence[AddressStatus]) -> str:
    """Healthy addresses / addresses that are not drained; one that is denied counts as one that is missing."""
    return f"{_healthy(addresses)}/{len(_enabled(spec, addresses))}"


def _findings(
    spec: ExternalServiceSpec, addresses: Sequence[AddressStatus], policy: AddressPolicy
) -> Iterator[Finding]:
    published = publication(spec, {address.ip: address for address in addresses}, policy)
    up = any(address.ready for address in published.addresses)
    yield _ready(addresses, len(_enabled(spec, addresses)), up=up)
    yield _accepted(addresses)
    if spec.minReady != 0:
        yield _fail_open(spec, addresses, failing_open=published.failing_open)


def _ready(addresses: Sequence[AddressStatus], enabled: int, *, up: bool) -> Finding:
    healthy = _healthy(addresses)
    if not addresses:
        return Finding("Ready", False, "NoAddresses", "spec.ips is empty: write the addresses to publish")
    if healthy == enabled > 0:
        reason = "AllAddressesReady"
    elif healthy:
        reason = "SomeAddressesReady"
    else:
        reason = "FailingOpen" if up else "NoAddressReady"
    return Finding("Ready", up, reason, f"{healthy} of {enabled} enabled addresses are ready")


def _accepted(addresses: Sequence[AddressStatus]) -> Finding:
    denied = [address.message for address in addresses if address.reason == "Denied"]
    if not denied:
        return Finding("Accepted", True, "Accepted", "every address may be published")
    named = "; ".join(denied[:MOST_NAMED])
    more = f"; and {len(denied) - MOST_NAMED} more, see status.addresses" if len(denied) > MOST_NAMED else ""
    text = f"{len(denied)} of {len(addresses)} addresses are left out: {named}{more}"
    return Finding("Accepted", False, "AddressDenied", text)


def _fail_open(spec: ExternalServiceSpec, addresses: Sequence[AddressStatus], *, failing_open: bool) -> Finding:
    healthy = _healthy(addresses)
    if failing_open:
        text = f"{healthy} ready, fewer than minReady {spec.minReady}: all enabled addresses are published as ready"
        return Finding("FailOpen", True, "TooFewReady", text)
    return Finding("FailOpen", False, "EnoughReady", f"{healthy} ready, minReady is {spec.minReady}")


def _healthy(addresses: Sequence[AddressStatus]) -> int:
    return sum(address.ready for address in addresses)


def _enabled(spec: ExternalServiceSpec, addresses: Sequence[AddressStatus]) -> list[AddressStatus]:
    disabled = frozenset(spec.disabledIPs)
    return [address for address in addresses if address.ip not in disabled]


def _condition(finding: Finding, seen: Object | None, generation: int, now: str) -> Object:
    status = str(finding.status)
    kept = seen is not None and seen["status"] == status and seen["lastTransitionTime"] <= now
    return {
        "type": finding.type,
        "status": status,
        "reason": finding.reason,
        "message": finding.message,
        "lastTransitionTime": seen["lastTransitionTime"] if seen is not None and kept else now,
        "observedGeneration": generation,
    }

"""Which addresses are published, and how: pure, from spec and status, one rule for hook and sidecar."""

from collections.abc import Iterable, Mapping, Sequence, Set
from math import ceil
from typing import NamedTuple

from external_service.kind import family_of
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec

States = Mapping[str, AddressStatus]
"""State of each address in the status."""


class PublishedAddress(NamedTuple):
    """One address, in the order of its text, with the EndpointSlice triple; Endpoints have only `ready`.

    healthy = (True, True, False), unhealthy = (False, False, False), drained = (False, serving, True).
    """

    ip: str
    ready: bool
    serving: bool
    terminating: bool


class Publication(NamedTuple):
    """spec.ips in their order, then the resolved ones, without duplicates and refused ones; are they failing open?"""

    addresses: tuple[PublishedAddress, ...]
    failing_open: bool


def publication(
    spec: ExternalServiceSpec, states: States, policy: AddressPolicy, resolved: Iterable[str] = ()
) -> Publication:
    """Publication of the addresses. No probe: all ready. An address not in `states` has not been probed yet: not ready.

    `resolved` are the addresses of spec.hostnames, in their order; how they are known differs: see `resolved_by`.

    Fail open (`minReady`): with fewer healthy addresses than required, all that are not drained are published as ready.
    Addresses without a result yet do not count: they neither start nor end failing open.
    """
    ips = [ip for ip in dict.fromkeys((*spec.ips, *resolved)) if policy.refusal(ip) is None]
    healthy: Set[str] = frozenset(ips)
    if spec.readinessProbe is not None:
        healthy = {ip for ip, state in states.items() if state.healthy}
    enabled = [ip for ip in ips if ip not in spec.disabled]
    failing_open = _failing_open(spec.minReady, enabled, healthy, states)
    addresses = [
        PublishedAddress(ip, False, ip in healthy, True)
        if ip in spec.disabled
        else PublishedAddress(ip, up := failing_open or ip in healthy, up, False)
        for ip in ips
    ]
    return Publication(tuple(addresses), failing_open)


def resolved_by(spec: ExternalServiceSpec, addresses: Iterable[AddressStatus]) -> dict[str, str]:
    """Address -> name, of those that the status says one of spec.hostnames resolves to, in the order of the status.

    The hook resolves nothing: what the sidecar wrote is published, and a name that leaves the spec takes its
    addresses with it at once.
    """
    if not spec.hostnames:
        return {}
    names, families = frozenset(spec.hostnames), spec.families
    return {
        one.ip: one.hostname
        for one in addresses
        if one.hostname in names and one.hostname is not None and family_of(one.ip) in families
    }


def _failing_open(min_ready: int | str, enabled: Sequence[str], healthy: Set[str], states: States) -> bool:
    if not (least := least_ready(min_ready, len(enabled))):
        return False
    settled = sum(1 for ip in enabled if ip not in healthy and ip in states and states[ip].reason != "Pending")
    return len(enabled) - settled < least


def least_ready(min_ready: int | str, enabled: int) -> int:
    """Number of `enabled` addresses that `spec.minReady` requires; percentages are rounded up, as in a
    PodDisruptionBudget.
    """
    if isinstance(min_ready, str):
        return ceil(enabled * int(min_ready.removesuffix("%")) / 100)
    return min(min_ready, enabled)

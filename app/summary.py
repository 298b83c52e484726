"""One sync in one line of the debug log: children made, children left out, and why. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.hook import CompositeHookResponse
from external_service.kind import NOT_PROBED
from external_service.policy import AddressPolicy
from external_service.readiness import publication, resolved_by
from external_service.v1alpha1 import ExternalService

MOST = 20
"""Addresses or objects named in one line."""


def summary(raw: Mapping[str, Any], response: CompositeHookResponse, policy: AddressPolicy) -> str:
    """One line for a completed sync. `raw` is the parent of the request."""
    parent = ExternalService.model_validate(raw)
    spec, states = parent.spec, {one.ip: one for one in parent.status.addresses}
    found = publication(spec, states, policy, resolved_by(spec, parent.status.addresses))
    why = {one.ip: f"{one.reason}: {one.message}" if one.message else one.reason for one in parent.status.addresses}
    refused = ((ip, policy.refusal(ip)) for ip in dict.fromkeys(spec.ips))
    left_out = [f"{ip} ({reason})" for ip, reason in refused if reason is not None]
    left_out += [f"{one['kind']} ({one['reason']})" for one in response["status"].get("children", ())]
    parts = {
        "made": [f"{child['kind']} {child['metadata']['name']}" for child in response["children"]],
        "ready": [one.ip for one in found.addresses if one.ready],
        "not ready": [f"{one.ip} ({why.get(one.ip, NOT_PROBED)})" for one in found.addresses if not one.ready],
        "left out": left_out,
    }
    said = "; ".join(f"{name}: {_listed(items)}" for name, items in parts.items() if items)
    return f"{said}; failing open" if found.failing_open else said


def _listed(items: Iterable[str]) -> str:
    every = list(items)
    more = len(every) - MOST
    return ", ".join((*every[:MOST], *([f"and {more} more"] if more > 0 else [])))

"""Our policy for stale statuses and the transition rules of our CRD, in Python. Pure.

The real ones are CEL and are evaluated by the real API server; both stand under the same scenarios.
"""

from collections.abc import Mapping
from typing import Any

from external_service.v1alpha1 import STALE_STATUS
from playground.apiserver.errors import Cause, invalid_value


def without_stale_status(old: Mapping[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What our MutatingAdmissionPolicy makes of an update: with an older revision or none, the stored status stays."""
    seen = (old.get("status") or {}).get("revision")
    given = (new.get("status") or {}).get("revision")
    if seen is not None and (given is None or given < seen):
        return {**new, "status": old["status"]}
    return new


def stale_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> Cause | None:
    """Health can only move forward (design R1): the revision never goes back, and no address changes without it."""
    before, after = old.get("status") or {}, new.get("status") or {}
    seen, given = before.get("revision", 0), after.get("revision", 0)
    if given > seen or (given == seen and before.get("addresses") == after.get("addresses")):
        return None
    return Cause("status.revision", "FieldValueInvalid", f"Invalid value: {STALE_STATUS}")


def moved_cluster_ip(old: Mapping[str, Any], new: Mapping[str, Any]) -> Cause | None:
    """A Service cannot change between headless and not."""
    before, after = ((obj["spec"].get("service") or {}).get("clusterIP", "None") for obj in (old, new))
    if before == after:
        return None
    text = "the cluster IP of a Service cannot change: delete this ExternalService and create it again"
    return invalid_value("spec.service.clusterIP", after, text)

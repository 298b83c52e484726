"""Custom resources, as the API server treats them: pruned, defaulted, validated. Pure.

A real API server evaluates the schema and the CEL of the CRD. Here the models validate, from which the CRD is
generated; contract tests and the real control plane keep both results the same.
"""

import copy
from collections.abc import Mapping
from typing import Any

from external_service.invalid import admission_problems
from external_service.v1alpha1 import STALE_STATUS
from playground.apiserver.errors import Cause, invalid_value
from playground.values import Object, same

Schema = Mapping[str, Any]

ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def prune(value: Any, schema: Schema, path: str = "") -> tuple[Any, list[str]]:
    """A copy without the fields that the schema does not have (metadata is not copied), and the paths of those."""
    if isinstance(value, Mapping) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        return _prune_object(value, schema, path)
    if isinstance(value, list) and "items" in schema:
        pairs = [prune(item, schema["items"], f"{path}[{index}]") for index, item in enumerate(value)]
        return [item for item, _ in pairs], [lost for _, more in pairs for lost in more]
    return copy.deepcopy(value), []


def _prune_object(value: Mapping[str, Any], schema: Schema, path: str) -> tuple[dict[str, Any], list[str]]:
    kept: dict[str, Any] = {}
    unknown: list[str] = []
    for name, item in value.items():
        below = f"{path}.{name}" if path else name
        inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if not path and name in ROOT_FIELDS:
            kept[name] = item
        elif inner is None:
            unknown.append(below)
        else:
            kept[name], more = prune(item, inner, below)
            unknown += more
    return kept, unknown


def default(value: Any, schema: Schema) -> None:
    """Fills defaults in place. A null in a mapping is dropped first; in a list it stays, to be refused."""
    if isinstance(value, dict):
        rest = schema.get("additionalProperties")
        for name in [name for name, inner in value.items() if inner is None]:
            if name in schema.get("properties", {}) or rest:
                del value[name]
        for name, below in schema.get("properties", {}).items():
            if name not in value and "default" in below:
                value[name] = copy.deepcopy(below["default"])
            if name in value:
                default(value[name], below)
        if rest:
            for item in value.values():
                default(item, rest)
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            default(item, schema["items"])


SOME_SPEC = {"port": 80}


def problems(old: Object | None, new: Object, *, loopback: bool) -> list[Cause]:
    """Errors for which an ExternalService is refused, except rules that compare with its old state.

    An unchanged spec is not evaluated again. `loopback` lets loopback addresses pass.
    """
    unchanged = old is not None and same(new.get("spec"), old.get("spec"))
    checked = {**new, "spec": SOME_SPEC} if unchanged else new
    lines = (line.partition(": ") for line in admission_problems(checked, loopback=loopback))
    return [Cause(field, "FieldValueInvalid", f"Invalid value: {text}") for field, _, text in lines]


def without_stale_status(old: Object, new: Object) -> Object:
    """Result of our MutatingAdmissionPolicy for an update: with an older revision or none, the stored status stays."""
    seen = (old.get("status") or {}).get("revision")
    given = (new.get("status") or {}).get("revision")
    if seen is not None and (given is None or given < seen):
        return {**new, "status": old["status"]}
    return new


def stale_status(old: Object, new: Object) -> Cause | None:
    """The guard (design R1): the revision never decreases, and no address changes unless it increases."""
    before, after = old.get("status") or {}, new.get("status") or {}
    seen, given = before.get("revision", 0), after.get("revision", 0)
    if given > seen or (given == seen and before.get("addresses") == after.get("addresses")):
        return None
    return Cause("status.revision", "FieldValueInvalid", f"Invalid value: {STALE_STATUS}")


def moved_cluster_ip(old: Object, new: Object) -> Cause | None:
    """A Service cannot change between headless and not."""
    before, after = ((obj["spec"].get("service") or {}).get("clusterIP", "None") for obj in (old, new))
    if before == after:
        return None
    text = "the cluster IP of a Service cannot change: delete this ExternalService and create it again"
    return invalid_value("spec.service.clusterIP", after, text)

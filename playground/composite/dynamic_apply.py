"""Metacontroller's dynamic apply: a three-way merge on the client, with lists merged by the first key name that fits.

Pure. Behaviour as read in its pkg/dynamic/apply and pkg/controller/common at 4.17.2.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from playground.values import Object

LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"
MERGE_KEYS = ("containerPort", "port", "mountPath", "name", "uid", "ip", "path")
SYSTEM_FIELDS = (
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
)


def to_create(desired: Mapping[str, Any], owner: Mapping[str, Any]) -> Object:
    """The object to POST: the desired one, with the last-applied annotation, and owned by the parent."""
    obj = copy.deepcopy(dict(desired))
    _remember(obj, desired)
    references = obj["metadata"].get("ownerReferences") or []
    if all(reference["uid"] != owner["uid"] for reference in references):
        obj["metadata"]["ownerReferences"] = [*references, dict(owner)]
    return obj


def to_update(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> Object:
    """The object to PUT; equal to `observed` when there is nothing to do. System fields and status stay as observed."""
    wanted = copy.deepcopy(dict(desired))
    (wanted["metadata"].get("annotations") or {}).pop(LAST_APPLIED, None)
    text = (observed["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    merged: Object = merge(observed, orjson.loads(text) if text else None, wanted)
    for field in SYSTEM_FIELDS:
        _revert(merged["metadata"], observed["metadata"], field)
    _revert(merged, observed, "status")
    _remember(merged, wanted)
    return merged


def owner_reference(parent: Mapping[str, Any]) -> Object:
    """The owner reference that makes the parent the controller of a child."""
    return {
        "apiVersion": parent["apiVersion"],
        "kind": parent["kind"],
        "name": parent["metadata"]["name"],
        "uid": parent["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def merge(observed: Any, applied: Any, desired: Any) -> Any:
    """`desired` merged into `observed`, without the fields of `applied` that are no longer desired.

    A list with a common key name is merged as a map by that key, any other list is replaced, also by an empty one.
    TypeError where the types differ.
    """
    if isinstance(observed, Mapping):
        _expect(Mapping, applied, desired)
        return _merge_objects(observed, applied or {}, desired or {})
    if isinstance(observed, list):
        _expect(list, applied, desired)
        lists = (observed, applied or [], desired or [])
        key = merge_key(*lists)
        return _merge_lists(key, *lists) if key else copy.deepcopy(desired)
    return copy.deepcopy(desired)


def _expect(kind: type[Any], *values: Any) -> None:
    for value in values:
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"expecting {kind.__name__}, got {type(value).__name__}")


def _merge_objects(observed: Mapping[str, Any], applied: Mapping[str, Any], desired: Mapping[str, Any]) -> Object:
    result = {name: copy.deepcopy(value) for name, value in observed.items() if name in desired or name not in applied}
    for name, value in desired.items():
        result[name] = merge(result.get(name), applied.get(name), value)
    return result


def _merge_lists(key: str, observed: list[Any], applied: list[Any], desired: list[Any]) -> list[Any]:
    merged = _merge_objects(*({str(item[key]): item for item in items} for items in (observed, applied, desired)))
    order = dict.fromkeys(str(item[key]) for item in (*observed, *desired))
    return [merged[name] for name in order if name in merged]


def merge_key(*lists: Iterable[Any]) -> str | None:
    """The first of MERGE_KEYS that every item of every list has; None if there is none."""
    items = [item for items in lists for item in items]
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    return next((key for key in MERGE_KEYS if all(key in item for item in items)), None)


def _revert(target: Object, source: Mapping[str, Any], field: str) -> None:
    target.pop(field, None)
    if field in source:
        target[field] = copy.deepcopy(source[field])


def _remember(obj: Object, applied: Mapping[str, Any]) -> None:
    annotations = dict(obj["metadata"].get("annotations") or {})
    annotations[LAST_APPLIED] = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode()
    obj["metadata"]["annotations"] = annotations

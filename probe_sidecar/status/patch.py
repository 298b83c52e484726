"""The difference between a status as seen and as wanted, as a JSON Patch under the optimistic lock. Pure."""

from collections.abc import Mapping
from typing import Any

import jsonpatch
import orjson
from jsonpointer import JsonPointer

Object = dict[str, Any]


def patch(seen: Mapping[str, Any], desired: Object) -> list[Object]:
    """The operations that turn the status of `seen` (the whole object as read) into `desired`; none if it is that.

    The leading `replace` of the resourceVersion makes the API server respond 409 for any other version of the object
    (ADR 1). Whole fields follow, each by an `add`, which also replaces a field that is there (RFC 6902, 4.1). A field
    that has to go takes the whole status: a `remove` of what is gone already would fail with another error.
    """
    status = seen.get("status")
    if same(status, desired):
        return []
    lock = {"op": "replace", "path": "/metadata/resourceVersion", "value": seen["metadata"]["resourceVersion"]}
    if isinstance(status, dict) and status.keys() <= desired.keys():
        changed = (field for field in desired if field not in status or not same(status[field], desired[field]))
        changes = [_set(desired[field], "status", field) for field in changed]
    else:
        changes = [_set(desired, "status")]
    return list(jsonpatch.JsonPatch([lock, *changes]))


def _set(value: Any, *path: str) -> Object:
    return {"op": "add", "path": JsonPointer.from_parts(path).path, "value": value}


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: in Python True == 1 == 1.0, to the API server they are three things."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)

"""The difference between a status as seen and as wanted, as a JSON Patch under the optimistic lock; and the raw objects
as the API server stores them. Pure.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import jsonpatch
import orjson
from jsonpointer import JsonPointer

from probe_sidecar.kube.documents import Object, trimmed
from probe_sidecar.kube.errors import GARBAGE, ApiError


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


def whole(stored: Object) -> Object:
    """`stored`, trimmed, if it is a stored object; ApiError if a proxy responded instead."""
    metadata = stored.get("metadata")
    fields = ("uid", "resourceVersion", "name", "namespace")
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(field), str) for field in fields):
        raise ApiError(200, GARBAGE, "the response is not an object with uid, resourceVersion, name and namespace")
    stored["metadata"] = trimmed(metadata)
    return stored


def version(raw: Object) -> str:
    """metadata.resourceVersion."""
    return str(raw["metadata"]["resourceVersion"])


def older(one: Object, other: Object) -> bool:
    """Whether `one` is an earlier version. Versions of one resource compare as integers (KEP-5504); others never do."""
    mine, theirs = version(one), version(other)
    return mine.isdecimal() and theirs.isdecimal() and (len(mine), mine) < (len(theirs), theirs)


def place(raw: Object) -> tuple[str, str]:
    """Namespace and name."""
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def content_hash(status: Any) -> bytes:
    """A digest of a status without its times and its revision; equal for equal JSON only."""
    said = {}
    if isinstance(status, dict):
        said = {
            **{field: status.get(field) for field in ("ready", "summary", "hosts", "ips")},
            "addresses": _timeless(status.get("addresses")),
            "conditions": _timeless(status.get("conditions")),
        }
    return blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _timeless(entries: Any) -> Any:
    if not isinstance(entries, list):
        return entries
    return [
        {key: value for key, value in entry.items() if key != "lastTransitionTime"}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]

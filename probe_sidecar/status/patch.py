"""The difference between a status as seen and as wanted, as a JSON Patch under the optimistic lock. Pure."""

from collections.abc import Mapping
from typing import Any

import jsonpatch

Object = dict[str, Any]

MOST_OPERATIONS = 1_000
"""Beyond this the whole status is shorter; the API server refuses a JSON Patch of more than 10,000 operations."""


def patch(seen: Mapping[str, Any], desired: Object) -> list[Object]:
    """The operations that turn the status of `seen` (the whole object as read) into `desired`; none if it is that.

    They are positional, so right only for this very version of the object: the leading `replace` of the
    resourceVersion makes the API server answer 409 to any other (ADR 0022).
    """
    status = seen.get("status")
    if same(status, desired):
        return []
    version = seen["metadata"]["resourceVersion"]
    lock = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    return [lock, *_operations(status, desired)]


def _operations(status: Any, desired: Object) -> list[Object]:
    if isinstance(status, dict):
        operations = [_below_status(operation) for operation in jsonpatch.make_patch(status, desired).patch]
        if len(operations) <= MOST_OPERATIONS:
            return operations
    # `add` also replaces a member that is there (RFC 6902 4.1): a null, a list, a text.
    return [{"op": "add", "path": "/status", "value": desired}]


def _below_status(operation: Mapping[str, Any]) -> Object:
    """The operation, its pointers moved from the root of the status to the root of the object."""
    return {key: f"/status{value}" if key in ("path", "from") else value for key, value in sorted(operation.items())}


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: in Python True == 1 == 1.0, to the API server they are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)

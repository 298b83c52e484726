"""The difference between a status as seen and as wanted, as a JSON Patch under the optimistic lock. Pure."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeGuard

import jsonpatch

Object = dict[str, Any]

MOST_OPERATIONS = 1_000
"""Beyond this the whole status is shorter; the API server refuses a JSON Patch of more than 10,000 operations."""


def patch(seen: Mapping[str, Any], desired: Object) -> list[Object]:
    """The operations that turn the status of `seen` (the whole object as read) into `desired`; none if it is that.

    They are positional, so right only for this very version of the object: the leading `replace` of the
    resourceVersion makes the API server answer 409 to any other (ADR 1).
    """
    status = seen.get("status")
    if same(status, desired):
        return []
    version = seen["metadata"]["resourceVersion"]
    lock = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    return [lock, *_operations(status, desired)]


def _operations(status: Any, desired: Object) -> list[Object]:
    if isinstance(status, dict):
        operations = list(islice(_changes(status, desired), MOST_OPERATIONS + 1))
        if len(operations) <= MOST_OPERATIONS:
            return operations
    # `add` also replaces a member that is there (RFC 6902 4.1): a null, a list, a text.
    return [{"op": "add", "path": "/status", "value": desired}]


def _changes(status: Object, desired: Object) -> Iterator[Object]:
    """Entry by entry where the addresses are still the same ones, for jsonpatch takes 40 ms to compare a thousand."""
    seen, wanted = status.get("addresses"), desired.get("addresses")
    if not (_are_entries(seen) and _are_entries(wanted) and _ips(seen) == _ips(wanted)):
        yield from _difference("/status", status, desired)
        return
    yield from _difference("/status", _without_addresses(status), _without_addresses(desired))
    for place, (one, other) in enumerate(zip(seen, wanted, strict=True)):
        if not same(one, other):
            yield from _entry_changes(f"/status/addresses/{place}", one, other)


def _entry_changes(path: str, seen: Object, wanted: Object) -> Iterator[Object]:
    if seen.keys() != wanted.keys():
        return _difference(path, seen, wanted)
    changed = ((field, value) for field, value in wanted.items() if not same(seen[field], value))
    return ({"op": "replace", "path": f"{path}/{field}", "value": value} for field, value in changed)


def _difference(path: str, seen: Object, wanted: Object) -> Iterator[Object]:
    """What jsonpatch finds, its pointers moved below `path`."""
    for operation in jsonpatch.make_patch(seen, wanted).patch:
        yield {key: f"{path}{value}" if key in ("path", "from") else value for key, value in sorted(operation.items())}


def _are_entries(value: Any) -> TypeGuard[list[Object]]:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _ips(entries: list[Object]) -> list[Any]:
    return [entry.get("ip") for entry in entries]


def _without_addresses(status: Object) -> Object:
    return {field: value for field, value in status.items() if field != "addresses"}


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: in Python True == 1 == 1.0, to the API server they are three things."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)

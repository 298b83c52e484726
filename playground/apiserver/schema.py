"""Structural schemas of a CustomResourceDefinition: prune and default, as the API server does. Pure.

`rules` validates.
"""

import copy
from collections.abc import Mapping
from typing import Any

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

"""Structural schemas of a CustomResourceDefinition: prune, default and validate, in that order, as the API server does.

Pure. Covers what apiextensions.k8s.io/v1 allows in a structural schema that we use; CEL is not evaluated here.
Messages follow k8s.io/apiextensions-apiserver pkg/apiserver/validation.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any

from playground.apiserver.errors import Cause, invalid_value, required, type_invalid, unsupported_value

Schema = Mapping[str, Any]

ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def prune(value: Any, schema: Schema, path: str = "") -> tuple[Any, list[str]]:
    """A copy without the fields that the schema does not know, and the paths of those."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return copy.deepcopy(value), []
    if isinstance(value, Mapping):
        return _prune_object(value, schema, path)
    if isinstance(value, list) and "items" in schema:
        pairs = [prune(item, schema["items"], f"{path}[{index}]") for index, item in enumerate(value)]
        return [item for item, _ in pairs], [lost for _, more in pairs for lost in more]
    return copy.deepcopy(value), []


def _prune_object(value: Mapping[str, Any], schema: Schema, path: str) -> tuple[dict[str, Any], list[str]]:
    known: Mapping[str, Schema] = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    kept: dict[str, Any] = {}
    unknown: list[str] = []
    for name, item in value.items():
        below = f"{path}.{name}" if path else name
        if not path and name in ROOT_FIELDS:
            kept[name] = copy.deepcopy(item)
        elif name in known:
            kept[name], more = prune(item, known[name], below)
            unknown += more
        elif isinstance(rest, Mapping):
            kept[name], more = prune(item, rest, below)
            unknown += more
        elif rest is True:
            kept[name] = copy.deepcopy(item)
        else:
            unknown.append(below)
    return kept, unknown


def default(value: Any, schema: Schema) -> None:
    """Fills defaults in place. A null in a mapping is dropped first where none is allowed; in a list it stays."""
    if isinstance(value, dict):
        rest = schema.get("additionalProperties")
        for name in [name for name, inner in value.items() if inner is None]:
            below = schema.get("properties", {}).get(name, rest)
            if isinstance(below, Mapping) and not below.get("nullable"):
                del value[name]
        for name, below in schema.get("properties", {}).items():
            if name not in value and "default" in below:
                value[name] = copy.deepcopy(below["default"])
            if name in value:
                default(value[name], below)
        if isinstance(rest, Mapping):
            for item in value.values():
                default(item, rest)
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            default(item, schema["items"])


def validate(value: Any, schema: Schema, path: str = "") -> list[Cause]:
    """What is wrong, field by field; empty when nothing is."""
    if value is None and schema.get("nullable"):
        return []
    if wrong := _type_problem(value, schema, path):
        return [wrong]
    problems = _scalar_problems(value, schema, path)
    if isinstance(value, Mapping):
        problems += _object_problems(value, schema, path)
    elif isinstance(value, list):
        problems += _list_problems(value, schema, path)
    return problems


def _type_problem(value: Any, schema: Schema, path: str) -> Cause | None:
    if schema.get("x-kubernetes-int-or-string"):
        fits = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
        wanted = "integer or string"
    elif wanted := schema.get("type", ""):
        fits = _is(value, wanted)
    else:
        return None
    found = "null" if value is None else _json_type(value)
    shown = found if isinstance(value, dict | list) or value is None else value
    return None if fits else type_invalid(path, shown, f'{path} in body must be of type {wanted}: "{found}"')


def _is(value: Any, wanted: str) -> bool:
    match wanted:
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)


def _json_type(value: Any) -> str:
    return next(name for name in ("object", "array", "string", "boolean", "integer", "number") if _is(value, name))


def _scalar_problems(value: Any, schema: Schema, path: str) -> list[Cause]:
    problems = []
    if "enum" in schema and value not in schema["enum"]:
        problems.append(unsupported_value(path, value, schema["enum"]))
    if isinstance(value, str):
        problems += _string_problems(value, schema, path)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            low = f"{path} in body should be greater than or equal to {schema['minimum']}"
            problems.append(invalid_value(path, value, low))
        if "maximum" in schema and value > schema["maximum"]:
            high = f"{path} in body should be less than or equal to {schema['maximum']}"
            problems.append(invalid_value(path, value, high))
    return problems


def _string_problems(value: str, schema: Schema, path: str) -> list[Cause]:
    problems = []
    if len(value) < schema.get("minLength", 0):
        least = f"{path} in body should be at least {schema['minLength']} chars long"
        problems.append(invalid_value(path, value, least))
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        text = f"Too long: may not be more than {schema['maxLength']} bytes"
        problems.append(Cause(path, "FieldValueTooLong", text))
    if "pattern" in schema and not re.search(schema["pattern"], value):
        problems.append(invalid_value(path, value, f"{path} in body should match '{schema['pattern']}'"))
    return problems


def _object_problems(value: Mapping[str, Any], schema: Schema, path: str) -> list[Cause]:
    prefix = f"{path}." if path else ""
    problems = [required(prefix + name) for name in schema.get("required", ()) if name not in value]
    known: Mapping[str, Schema] = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    for name, item in value.items():
        if not path and name in ROOT_FIELDS:
            continue
        if name in known:
            problems += validate(item, known[name], prefix + name)
        elif isinstance(rest, Mapping):
            problems += validate(item, rest, prefix + name)
    return problems


def _list_problems(value: list[Any], schema: Schema, path: str) -> list[Cause]:
    problems = []
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        text = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        problems.append(Cause(path, "FieldValueTooMany", text))
    if len(value) < schema.get("minItems", 0):
        least = f"{path} in body should have at least {schema['minItems']} items"
        problems.append(invalid_value(path, len(value), least))
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, item in enumerate(value):
            problems += validate(item, items, f"{path}[{index}]")
    return problems

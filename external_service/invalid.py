"""Errors of an ExternalService, one line each: `path: what to write instead (got ...)`. Pure.

Values of HTTP headers are never shown: they may be secrets.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from itertools import islice

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from external_service.admission import address_problems, child_problems, join, shown
from external_service.crd import Schema, root
from external_service.kind import KIND
from external_service.v1alpha1 import ExternalService

SECRET = re.compile(r"\.httpHeaders\[[0-9]+\]\.(value|valueFrom)$")

Fields = Mapping[str, "Fields"]
"""The known fields by name, each with those below it; none below a value or a map such as labels."""

MAX_UNKNOWN = 100
LONGEST_FIELD = 64
"""Characters of an unknown field that are shown, and compared with the known ones."""

OBJECT_META = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""All of meta/v1 ObjectMeta, of which the models read only a part."""


def explain(error: ValidationError) -> list[str]:
    """The errors of `ExternalService.model_validate`, one line a field; of an object of another kind only that."""
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        path, schema = locate(detail["loc"])
        lines.setdefault(path, _line(path, schema, detail))
    identity = [lines[name] for name in ("apiVersion", "kind") if name in lines]
    return identity or list(lines.values())


def admission_problems(raw: object, *, loopback: bool = False) -> list[str]:
    """Everything for which the API server would refuse this object, CEL rules included; empty when it is fine.

    `loopback` lets loopback addresses pass: on one's own machine, never in a cluster. Rules that compare with the
    object before (the immutable clusterIP, the guard of the status) are not checked here.
    """
    try:
        parent = ExternalService.model_validate(raw)
    except ValidationError as error:
        return explain(error)
    return [*child_problems(parent), *address_problems(parent.spec, loopback=loopback)]


def unknown_fields(raw: object) -> list[str]:
    """The fields that the API server would drop, most often misspelt ones; at most MAX_UNKNOWN of them.

    The status is not looked at, nor an object of another kind.
    """
    if not isinstance(raw, Mapping) or raw.get("kind") != KIND:
        return []
    return list(islice(_unknown(raw, _written_by_users(), ""), MAX_UNKNOWN))


@cache
def _written_by_users() -> Fields:
    """The fields of the whole object, with all of ObjectMeta and any status."""
    return {**_fields(root()), "metadata": {name: {} for name in OBJECT_META}, "status": {}}


def _fields(schema: Schema) -> Fields:
    """The fields of an object, or of the objects in a list."""
    fields = schema.get("items", schema).get("properties", {})
    return {name: _fields(inner) for name, inner in fields.items()}


def locate(loc: tuple[int | str, ...]) -> tuple[str, Schema]:
    """The path of a pydantic error as users write it, and its schema. A part that names no field (a union's tag) ends
    it.
    """
    if loc[-1:] == ("[key]",):  # a bad key: the rules of the mapping say what to write
        path, schema = locate(loc[:-2])
        return path, {**schema, "type": "string"}
    path, schema = "", root()
    for part in loc:
        if isinstance(part, int):
            path, schema = f"{path}[{part}]", schema.get("items", {})
            continue
        inner = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
        if inner is None:
            break
        path, schema = join(path, part), inner
    return path, schema


def hint(schema: Schema) -> str:
    """Text that says what to write in a field of this schema. It is the message of a CEL rule if there is one, so that
    all validators use the same text; those of a mapping or a list are about their content.
    """
    if schema.get("type") not in ("array", "object") and (rules := schema.get("x-kubernetes-validations")):
        message: str = rules[0]["message"]
        return message
    if "enum" in schema:
        *others, last = schema["enum"]
        return f"write {', '.join(others)} or {last}" if others else f"write {last}"
    return _KINDS[schema.get("type")].format(**_limits(schema))


_KINDS = {
    None: "write a number or a text{atMost}",  # int-or-string
    "array": "write a list{atMost}",
    "boolean": "write true or false",
    "integer": "write a number{range}",
    "object": "write a mapping",
    "string": "write a text{atMost}",
}


def _limits(schema: Schema) -> dict[str, str]:
    least, most = schema.get("minimum"), schema.get("maximum")
    between = f" from {least} to {most}" if most is not None else f", {least} or more" if least is not None else ""
    length = schema.get("maxItems") or schema.get("maxLength")
    unit = "items" if "maxItems" in schema else "characters"
    up_to = f"{schema['minItems']} to" if "minItems" in schema else "at most"
    return {"range": between, "atMost": f" of {up_to} {length} {unit}" if length else ""}


def _line(path: str, schema: Schema, detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":  # one of the models' own validators: its text says what to write
        return f"{path}: {detail['msg'].removeprefix('Value error, ')}"
    if not path:
        return f"write one ExternalService (got {shown(detail['input'])})"
    if detail["type"] == "missing":
        return f"{path}: is missing, {hint(schema)}"
    if detail["input"] is None:  # in a list: elsewhere a null is absent
        return f"{path}: write a value, or remove the entry{_got(path, detail)}"
    if detail["type"] == "string_type" and not isinstance(detail["input"], list | dict):
        return f"{path}: must be a string: put it in quotes{_got(path, detail)}"
    return f"{path}: {hint(schema)}{_got(path, detail)}"


def _got(path: str, detail: ErrorDetails) -> str:
    return "" if SECRET.search(path) else f" (got {shown(detail['input'])})"


def _unknown(value: object, fields: Fields, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, fields, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in fields:
                short = str(name)[:LONGEST_FIELD]
                near = get_close_matches(short, fields, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                yield f"{join(path, short)}: no such field, it is ignored{hint}"
            elif below := fields[name]:
                yield from _unknown(inner, below, join(path, name))

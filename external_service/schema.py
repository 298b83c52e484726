"""The schema of an ExternalService as its models give it: the place of a field, and its allowed values. Pure."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from external_service.v1alpha1 import ExternalService

Schema = Mapping[str, Any]


@cache
def root() -> Schema:
    """The JSON schema of the whole object; references are resolved by the functions below."""
    return ExternalService.model_json_schema()


def resolve(schema: Schema) -> Schema:
    """The schema behind a reference and behind "or null"."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return resolve(choices[0])
    if "$ref" in schema:
        return resolve(root()["$defs"][schema["$ref"].rpartition("/")[2]])
    return schema


def properties(schema: Schema) -> Mapping[str, Any]:
    """The fields of an object by name; none for anything else, maps of labels and annotations included."""
    fields: Mapping[str, Any] = schema.get("properties", {})
    return fields


def locate(loc: tuple[int | str, ...]) -> tuple[str, Schema]:
    """The path of a pydantic error as users write it, and its schema. A part that names no field (a union's tag) ends
    it.
    """
    path, schema = "", root()
    for part in loc[:-2] if loc[-1:] == ("[key]",) else loc:  # of a bad key the mapping tells what to write
        if isinstance(part, int):
            path, schema = f"{path}[{part}]", resolve(schema.get("items", {}))
            continue
        inner = properties(schema).get(part) or _any_key(schema)
        if inner is None:
            break
        path, schema = join(path, part), resolve(inner)
    return path, schema


def _any_key(schema: Schema) -> Schema | None:
    """The schema of a mapping's values, whatever their key."""
    patterns: Mapping[str, Schema] = schema.get("patternProperties", {})
    return next(iter(patterns.values()), schema.get("additionalProperties"))


def join(path: str, part: str) -> str:
    """`path` with one more field; a key with a dot or a slash is in brackets."""
    if "." in part or "/" in part:
        return f'{path}["{part}"]'
    return f"{path}.{part}" if path else part


def hint(schema: Schema) -> str:
    """Text that says what to write in a field of this schema. It is the message of a CEL rule if there is one, so that
    all validators use the same text.
    """
    if "properties" not in schema and (rules := schema.get("x-kubernetes-validations")):
        message: str = rules[0]["message"]
        return message
    if "const" in schema or "enum" in schema:
        *others, last = schema.get("enum") or [schema["const"]]
        return f"write {', '.join(others)} or {last}" if others else f"write {last}"
    return _KINDS.get(str(schema.get("type")), "write something else").format(**_limits(schema))


_KINDS = {
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
    return {"range": between, "atMost": f" of at most {length} {unit}" if length else ""}

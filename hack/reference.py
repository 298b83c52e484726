"""docs/reference.md from the CRD, which is made from the models: `make crd` writes both."""

import sys
from collections.abc import Iterator
from typing import Any

from external_service.crd import custom_resource_definition

Schema = dict[str, Any]

HEAD = """\
# Every field of an ExternalService

Made from the models by `make crd`; `kubectl explain externalservice --recursive` shows the same on your
cluster. A default in brackets is what the API server writes if you leave the field out. What the fields do together:
[concepts](concepts.md), [probes](probes.md), [routing](routing.md), [hostnames](hostnames.md), [status](status.md).
"""
WORDS = {"array": "list", "object": "mapping", "string": "text", "integer": "number"}
PARTS = (("spec", "What you write"), ("status", "What the operator writes"))


def reference() -> str:
    """The page."""
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return HEAD + "".join(_part(name, title, schema["properties"][name]) for name, title in PARTS)


def _part(name: str, title: str, schema: Schema) -> str:
    rows = "\n".join(
        f"| `{path}` | {_form(field, required)} | {_text(field)} |" for path, field, required in _fields(name, schema)
    )
    return f"\n## {title}: `{name}`\n\n| field | form | meaning |\n|---|---|---|\n{rows}\n{_refusals(name, schema)}"


def _fields(path: str, schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """Every field below, with its path and whether it must be there."""
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        yield inner, field, name in schema.get("required", ())
        yield from _fields(inner, field)
        yield from _fields(f"{inner}[]", field.get("items", {}))


def _form(field: Schema, required: bool) -> str:
    parts = [_type(field)]
    if (values := field.get("enum")) is not None:
        parts = [", ".join(f"`{value}`" for value in values)]
    if "minimum" in field or "maximum" in field:
        parts.append(f"{field.get('minimum', '')} to {field.get('maximum', '')}".strip())
    if "maxItems" in field:
        parts.append(f"up to {field['maxItems']}")
    if "default" in field:
        parts.append(f"[{field['default']}]")
    return ", ".join([*parts, "**required**"] if required else parts)


def _type(field: Schema) -> Any:
    if field.get("x-kubernetes-int-or-string"):
        return "number or text"
    kind = WORDS.get(field["type"], field["type"])
    return f"list of {_type(field['items'])}" if "items" in field and "properties" not in field["items"] else kind


def _text(field: Schema) -> str:
    return " ".join(field.get("description", "").split()).replace("|", "\\|")


def _refusals(name: str, schema: Schema) -> str:
    """What the API server says to a wrong value: the messages of all rules, each once."""
    found = [
        (path, rule["message"])
        for path, part in _parts(name, schema)
        for rule in part.get("x-kubernetes-validations", ())
    ]
    if not found:
        return ""
    lines = "\n".join(f"| `{path}` | {_text({'description': message})} |" for path, message in dict.fromkeys(found))
    return f"\n### What is refused\n\n| where | what the API server answers |\n|---|---|\n{lines}\n"


def _parts(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from _parts(f"{path}.{name}", field)
    for below, part in (("[]", "items"), (".*", "additionalProperties")):
        if part in schema:
            yield from _parts(f"{path}{below}", schema[part])


if __name__ == "__main__":
    sys.stdout.write(reference())

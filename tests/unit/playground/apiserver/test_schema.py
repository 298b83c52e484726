"""Structural schemas: prune and default."""

from typing import Any

from playground.apiserver.schema import default, prune
from tests.cases import cases

SCHEMA: dict[str, Any] = {
    "properties": {
        "spec": {
            "properties": {
                "port": {"type": "integer"},
                "scheme": {"type": "string", "default": "HTTP"},
                "items": {"type": "array", "items": {"type": "object", "properties": {"a": {}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}


def test_unknown_fields_are_pruned_and_named() -> None:
    value = {
        "metadata": {"name": "x", "anything": 1},
        "spec": {"port": 1, "prot": 2, "items": [{"a": 1, "b": 2}], "labels": {"k": "v"}, "free": {"x": 1}},
        "data": 1,
    }
    assert prune(value, SCHEMA) == (
        {
            "metadata": {"name": "x", "anything": 1},
            "spec": {"port": 1, "items": [{"a": 1}], "labels": {"k": "v"}, "free": {"x": 1}},
        },
        ["spec.prot", "spec.items[0].b", "data"],
    )


@cases(
    "spec filled",
    ("absent", {}, {"scheme": "HTTP"}),
    ("null gives way to the default", {"scheme": None}, {"scheme": "HTTP"}),
    ("given", {"scheme": "HTTPS"}, {"scheme": "HTTPS"}),
)
def test_schema_defaults(spec: dict[str, Any], filled: dict[str, Any]) -> None:
    value = {"spec": spec}
    default(value, SCHEMA)
    assert value == {"spec": filled}

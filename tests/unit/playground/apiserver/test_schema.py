"""Structural schemas: prune, default, validate."""

from typing import Any

import pytest

from playground.apiserver.schema import default, prune, validate

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["port"],
            "properties": {
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
                "scheme": {"type": "string", "enum": ["HTTP", "HTTPS"], "default": "HTTP"},
                "items": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {"a": {}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "either": {"x-kubernetes-int-or-string": True},
                "maybe": {"type": "string", "nullable": True},
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


@pytest.mark.parametrize(
    ("spec", "filled"),
    [
        pytest.param({}, {"scheme": "HTTP"}, id="absent"),
        pytest.param({"scheme": None}, {"scheme": "HTTP"}, id="null gives way to the default"),
        pytest.param({"scheme": "HTTPS"}, {"scheme": "HTTPS"}, id="given"),
    ],
)
def test_schema_defaults(spec: dict[str, Any], filled: dict[str, Any]) -> None:
    value = {"spec": spec}
    default(value, SCHEMA)
    assert value == {"spec": filled}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param({}, "spec.port: Required value", id="missing"),
        pytest.param(
            {"port": 0}, "spec.port: Invalid value: 0: spec.port in body should be greater than or equal to 1", id="low"
        ),
        pytest.param(
            {"port": 70000},
            "spec.port: Invalid value: 70000: spec.port in body should be less than or equal to 65535",
            id="high",
        ),
        pytest.param(
            {"port": True},
            'spec.port: Invalid value: true: spec.port in body must be of type integer: "boolean"',
            id="bool",
        ),
        pytest.param(
            {"port": None},
            'spec.port: Invalid value: "null": spec.port in body must be of type integer: "null"',
            id="null",
        ),
        pytest.param({"name": "abcde"}, "spec.name: Too long: may not be more than 4 bytes", id="long"),
        pytest.param(
            {"name": "a"},
            'spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long',
            id="short",
        ),
        pytest.param(
            {"name": "a1"}, "spec.name: Invalid value: \"a1\": spec.name in body should match '^[a-z]+$'", id="pattern"
        ),
        pytest.param(
            {"scheme": "FTP"}, 'spec.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"', id="enum"
        ),
        pytest.param({"items": [{}, {}, {}]}, "spec.items: Too many: 3: must have at most 2 items", id="many"),
        pytest.param(
            {"labels": {"k": 1}},
            'spec.labels.k: Invalid value: 1: spec.labels.k in body must be of type string: "integer"',
            id="map",
        ),
        pytest.param(
            {"either": 1.5},
            'spec.either: Invalid value: 1.5: spec.either in body must be of type integer or string: "number"',
            id="int or string",
        ),
    ],
)
def test_schema_refuses_invalid_values(spec: dict[str, Any], problem: str) -> None:
    found = validate({"spec": spec if "port" in spec or not spec else {"port": 1} | spec}, SCHEMA)
    assert [f"{cause.field}: {cause.message}" for cause in found] == [problem]


def test_schema_accepts_valid_values() -> None:
    spec = {"port": 1, "name": "ab", "either": "x", "maybe": None, "labels": {"k": "v"}, "items": [{"a": [1]}]}
    assert validate({"metadata": {"name": 1}, "spec": spec}, SCHEMA) == []

"""The three-way merge, as Metacontroller does it: what is kept, what goes, which lists merge."""

from typing import Any

import pytest

from playground.composite.dynamic_apply import merge, to_create, to_update
from tests.cases import cases

OWNER = {"apiVersion": "x/v1", "kind": "P", "name": "p", "uid": "u", "controller": True, "blockOwnerDeletion": True}


@cases(
    "observed applied desired result",
    ("what others set stays", {"a": 1, "b": 2}, None, {"a": 3}, {"a": 3, "b": 2}),
    ("what was applied and is no more, goes", {"a": 1, "b": 2}, {"b": 2}, {"a": 1}, {"a": 1}),
    ("null is a value", {"a": 1}, None, {"a": None}, {"a": None}),
    ("an empty list is a value", {}, None, {"a": []}, {"a": []}),
    ("a plain list is replaced", {"a": [1, 2]}, {"a": [1, 2]}, {"a": [2]}, {"a": [2]}),
    (
        "a keyed list merges, in the order of what is there",
        {"a": [{"name": "x", "v": 1}, {"name": "y"}]},
        {"a": [{"name": "x"}]},
        {"a": [{"name": "z"}, {"name": "y", "v": 2}]},
        {"a": [{"name": "y", "v": 2}, {"name": "z"}]},
    ),
    (
        "subsets have no key: replaced whole, defaults lost",
        {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80, "protocol": "TCP"}]}]},
        None,
        {"subsets": [{"addresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80}]}]},
        {"subsets": [{"addresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80}]}]},
    ),
)
def test_three_way_merge(observed: Any, applied: Any, desired: Any, result: Any) -> None:
    assert merge(observed, applied, desired) == result


def test_type_conflict_is_an_error() -> None:
    with pytest.raises(TypeError, match="expecting list, got dict"):
        merge({"a": [1]}, None, {"a": {"b": 1}})


def test_server_defaults_are_no_difference() -> None:
    desired = {"kind": "Service", "metadata": {"name": "a"}, "spec": {"x": 1}, "status": {"mine": True}}
    there = to_create(desired, OWNER)
    there["metadata"] |= {"uid": "1", "resourceVersion": "5", "generation": 3, "creationTimestamp": "t"}
    there["spec"]["default"] = 1
    there["status"] = {"theirs": True}
    assert to_update(there, desired) == there

"""Parsing of Metacontroller's request, and the messages for invalid ones."""

from typing import Any

import pytest

from app.hook import CompositeHookRequest, InvalidRequest, read
from tests.cases import cases

INGRESS = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "api", "namespace": "shop"}}
FINALIZING = (
    "finalizing: this hook has nothing to finalize, the garbage collector removes the children: "
    "remove hooks.finalize from the CompositeController"
)
CHILDREN = 'children: write a mapping such as {"Service.v1": {"namespace/name": {...}}}'


def test_request_is_parsed() -> None:
    children = {"Service.v1": {"shop/api": {"kind": "Service", "metadata": {}}}}
    body = {"controller": {}, "parent": {"kind": "X"}, "children": children, "related": {}, "finalizing": False}
    assert read(body) == CompositeHookRequest(parent={"kind": "X"}, children=children)
    assert read({"parent": {}, "children": None}) == CompositeHookRequest(parent={})


@cases(
    "children lacks",
    ("kind shown, nothing owned", {"Ingress.networking.k8s.io/v1": {}}, True),
    ("owned, keyed as in v2", {"Ingress.networking.k8s.io/v1": {"shop/api": {}}}, False),
    ("owned, keyed as in v1", {"Ingress.networking.k8s.io/v1": {"api": {}}}, False),
    ("others only", {"Ingress.networking.k8s.io/v1": {"shop/other": {}, "other/api": {}}}, True),
    ("another version is shown", {"Ingress.extensions/v1beta1": {}}, False),
    ("nothing is shown", {}, False),
)
def test_missing_child_is_recognized(children: dict[str, Any], lacks: bool) -> None:
    assert CompositeHookRequest(parent={}, children=children).lacks(INGRESS) is lacks


@cases(
    "body text",
    ("not an object", [], "the body must be one JSON object: a Metacontroller sync request"),
    ("no parent", {"object": {}}, "parent: write the ExternalService object: this is a Metacontroller sync request"),
    ("finalizing", {"parent": {}, "finalizing": True}, FINALIZING),
    ("children of the wrong shape", {"parent": {}, "children": {"Service.v1": []}}, CHILDREN),
)
def test_request_with_invalid_fields_names_them(body: object, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert caught.value.problems == (text,)

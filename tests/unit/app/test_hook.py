"""Parsing of Metacontroller's request, and the messages for invalid ones."""

from typing import Any

import pytest

from app.hook import CompositeHookRequest, InvalidRequest, read

INGRESS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "api", "namespace": "shop"},
}


def test_request_is_parsed() -> None:
    children = {"Service.v1": {"shop/api": {"kind": "Service", "metadata": {}}}}
    body = {"controller": {}, "parent": {"kind": "X"}, "children": children, "related": {}, "finalizing": False}
    assert read(body) == CompositeHookRequest(parent={"kind": "X"}, children=children)
    assert read({"parent": {}, "children": None}) == CompositeHookRequest(parent={})


@pytest.mark.parametrize(
    ("children", "lacks"),
    [
        pytest.param({"Ingress.networking.k8s.io/v1": {}}, True, id="kind shown, nothing owned"),
        pytest.param({"Ingress.networking.k8s.io/v1": {"shop/api": {}}}, False, id="owned, keyed as in v2"),
        pytest.param({"Ingress.networking.k8s.io/v1": {"api": {}}}, False, id="owned, keyed as in v1"),
        pytest.param({"Ingress.networking.k8s.io/v1": {"shop/other": {}, "other/api": {}}}, True, id="others only"),
        pytest.param({"Ingress.extensions/v1beta1": {}}, False, id="another version is shown"),
        pytest.param({}, False, id="nothing is shown"),
    ],
)
def test_missing_child_is_recognized(children: dict[str, Any], lacks: bool) -> None:
    assert CompositeHookRequest(parent={}, children=children).lacks(INGRESS) is lacks


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param([], "the body must be one JSON object: a Metacontroller sync request", id="not an object"),
        pytest.param(
            {"object": {}},
            "parent: write the ExternalService object: this is a Metacontroller sync request",
            id="no parent",
        ),
        pytest.param(
            {"parent": {}, "finalizing": True},
            "finalizing: this hook has nothing to finalize, the garbage collector removes the children: "
            "remove hooks.finalize from the CompositeController",
            id="finalizing",
        ),
        pytest.param(
            {"parent": {}, "children": {"Service.v1": []}},
            'children: write a mapping such as {"Service.v1": {"namespace/name": {...}}}',
            id="children of the wrong shape",
        ),
    ],
)
def test_request_with_invalid_fields_names_them(body: object, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert caught.value.problems == (text,)

"""Metacontroller's CompositeController hook contract, versions v2 and v1, with its own field names.

Shapes: metacontroller:pkg/controller/composite/api/{v1,v2}/hooks.go. The two differ only in the keys of `children`,
"namespace/name" in v2 and "name" in v1. Objects are kept as received: the status has to be returned unchanged (R1).
"""

from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    NotRequired,  # pydantic needs them in Python 3.11
)

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from app.observed import KINDS, misshapen

Children = dict[str, dict[str, dict[str, Any]]]


class InvalidRequest(Exception):
    """The request is invalid: `problems` says which field, and what to write instead, one a line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class CompositeHookResponse(TypedDict):
    """Response of a sync for Metacontroller's strict JSON parser, which refuses unknown and duplicate fields.
    `resyncAfterSeconds` requests one more sync.
    """

    status: dict[str, Any]
    children: list[dict[str, Any]]
    resyncAfterSeconds: NotRequired[float]


def key_of(kind: Mapping[str, Any]) -> str:
    """The key of an object's kind in `children`, as Metacontroller writes it: "Kind.version", "Kind.group/version"."""
    return f"{kind['kind']}.{kind['apiVersion']}"


def _children(value: Any) -> Children:
    """Ends at the first child of the wrong shape: pydantic would build an error for each of a million."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(group, dict) for group in value.values()):
        raise ValueError(_PROBLEMS["children"])
    for kind, group in value.items():
        for name, child in group.items():
            if not isinstance(child, dict):
                raise ValueError(_PROBLEMS["children"])
            if kind in KINDS and (field := misshapen(child)) is not None:
                raise ValueError(f'children["{kind}"]["{name}"]: {field} is missing or not as the API server stores it')
    return value


class CompositeHookRequest(BaseModel):
    """The part of a sync request that decides the response. Metacontroller also sends `controller` and `related`."""

    model_config = ConfigDict(frozen=True)

    parent: dict[str, Any] = Field(description="The ExternalService.")
    children: Annotated[Children, PlainValidator(_children, json_schema_input_type=Children)] = Field(
        default_factory=dict,
        description='Objects that it owns: "Kind.group/version" -> "namespace/name" -> object. Each kind of the '
        "CompositeController's childResources is a key, even with no object of it.",
    )
    finalizing: bool = Field(default=False, description="Never true: there is no finalize hook.")

    def lists(self, key: str) -> bool:
        """Whether the CompositeController lists this kind; of a request without any kind: yes."""
        return not self.children or key in self.children

    def owned(self, key: str, namespace: str) -> dict[str, dict[str, Any]]:
        """The objects of this kind in this namespace that the parent owns, by their names."""
        parts = ((place.rpartition("/"), child) for place, child in self.children.get(key, {}).items())
        return {name: child for (of, _, name), child in parts if of in ("", namespace)}

    def lacks(self, child: Mapping[str, Any]) -> bool:
        """Whether `child` is not among the objects that the parent owns, although its kind and version are listed."""
        group, metadata = self.children.get(key_of(child)), child["metadata"]
        name = metadata["name"]
        return group is not None and name not in group and f"{metadata['namespace']}/{name}" not in group


NOT_AN_OBJECT = "the body must be one JSON object: a Metacontroller sync request"
TO_WRAP = (
    'parent: Required value: this is an ExternalService without its sync request: send {"parent": {...}}, or let '
    "`external-service request CR.yaml` make the request of a file (docs/hook.md)"
)
_PROBLEMS = {
    "parent": "parent: write the ExternalService object: this is a Metacontroller sync request",
    "children": 'children: write a mapping such as {"Service.v1": {"namespace/name": {...}}}',
    "finalizing": "finalizing: write true or false",
}
FINALIZING = (
    "finalizing: this hook has nothing to finalize, the garbage collector removes the children: "
    "remove hooks.finalize from the CompositeController"
)


def read(body: object) -> CompositeHookRequest:
    """The request in a decoded JSON body; raises InvalidRequest."""
    if not isinstance(body, dict):
        raise InvalidRequest(NOT_AN_OBJECT)
    if "parent" not in body and "kind" in body:
        raise InvalidRequest(TO_WRAP)
    try:
        request = CompositeHookRequest.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise InvalidRequest(*dict.fromkeys(map(_problem, details))) from None
    if request.finalizing:
        raise InvalidRequest(FINALIZING)
    return request


def _problem(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    return _PROBLEMS[str(detail["loc"][0])]

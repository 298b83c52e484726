"""Metacontroller's CompositeController hook contract, versions v2 and v1, with its own field names.

Shapes: metacontroller:pkg/controller/composite/api/{v1,v2}/hooks.go. The two differ only in the keys of `children`,
"namespace/name" in v2 and "name" in v1. The objects sent are kept as they came: nothing here looks into them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, TypedDict


class InvalidRequest(Exception):
    """The request cannot be answered: `problems` says which field, and what to write instead, one a line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class CompositeHookResponse(TypedDict):
    """What v2 accepts: it refuses unknown and duplicate fields. `resyncAfterSeconds` asks for one more sync."""

    status: dict[str, Any]
    children: list[dict[str, Any]]
    resyncAfterSeconds: NotRequired[float]


class Kind(NamedTuple):
    """What a child is: `apiVersion` and `kind`."""

    api_version: str
    kind: str

    @classmethod
    def of(cls, child: Mapping[str, Any]) -> "Kind":
        """The kind of an object."""
        return cls(child["apiVersion"], child["kind"])

    @property
    def key(self) -> str:
        """As Metacontroller writes it in `children`."""
        return f"{self.kind}.{self.api_version}"


@dataclass(frozen=True, slots=True)
class CompositeHookRequest:
    """The part of a sync request that we answer to: the raw parent, and its children as Metacontroller sees them.

    `children`: "Kind.version" or "Kind.group/version" -> name (see above) -> object. Every kind of the
    CompositeController's childResources is a key, even with no object of it.
    """

    parent: dict[str, Any]
    children: Mapping[str, Mapping[str, Any]]

    def lists(self, kind: Kind) -> bool:
        """Whether the CompositeController lists this kind; of a request that shows no kind at all: yes."""
        return not self.children or kind.key in self.children

    def owned(self, kind: Kind, namespace: str) -> dict[str, Mapping[str, Any]]:
        """The objects of this kind in this namespace that the parent owns, by their names."""
        shown = self.children.get(kind.key, {}).items()
        parts = ((key.rpartition("/"), child) for key, child in shown)
        return {name: child for (of, _, name), child in parts if of in ("", namespace)}

    def lacks(self, child: Mapping[str, Any]) -> bool:
        """Whether `child` is not among the objects that the parent owns, although its kind and version are shown."""
        kind, metadata = Kind.of(child), child["metadata"]
        return kind.key in self.children and metadata["name"] not in self.owned(kind, metadata["namespace"])


def read(body: object) -> CompositeHookRequest:
    """The request in a decoded JSON body; raises InvalidRequest."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be one JSON object: a Metacontroller sync request")
    parent = body.get("parent")
    if not isinstance(parent, dict):
        raise InvalidRequest("parent: write the ExternalService object: this is a Metacontroller sync request")
    if body.get("finalizing"):
        raise InvalidRequest(
            "finalizing: this hook has nothing to finalize, the garbage collector removes the children: "
            "remove hooks.finalize from the CompositeController"
        )
    children = body.get("children") or {}
    if not isinstance(children, dict) or not all(isinstance(group, dict) for group in children.values()):
        raise InvalidRequest('children: write a mapping such as {"Service.v1": {"namespace/name": {...}}}')
    return CompositeHookRequest(parent, children)

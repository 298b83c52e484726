"""Metacontroller's CompositeController hook contract, versions v2 and v1, with its own field names.

Shapes: metacontroller:pkg/controller/composite/api/{v1,v2}/hooks.go. The two differ only in the keys of `children`,
"namespace/name" in v2 and "name" in v1. The objects sent are kept as they came: nothing here looks into them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, TypedDict

import orjson
from msgspec import Raw


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


class Owned(Mapping[str, Mapping[str, Any]]):
    """Objects by name, each decoded when it is asked for: most never are."""

    def __init__(self, shown: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """`names`: name -> key in `shown`."""
        self._shown = shown
        self._names = names

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        """The object of this name."""
        one: Mapping[str, Any] | Raw = self._shown[self._names[name]]
        return orjson.loads(bytes(one)) if isinstance(one, Raw) else one

    def __iter__(self) -> Iterator[str]:
        """Their names."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._names)


@dataclass(frozen=True, slots=True)
class Shown:
    """The children that the parent owns, as Metacontroller sees them.

    `children`: "Kind.version" or "Kind.group/version" -> name (see above) -> object, decoded or not. Every kind of the
    CompositeController's childResources is a key, even with no object of it.
    """

    children: Mapping[str, Mapping[str, Any]]

    def lists(self, kind: Kind) -> bool:
        """Whether the CompositeController lists this kind; of a request that shows no kind at all: yes."""
        return not self.children or kind.key in self.children

    def owned(self, kind: Kind, namespace: str) -> Owned:
        """The objects of this kind in this namespace that the parent owns, by their names."""
        group = self.children.get(kind.key, {})
        parts = ((key.rpartition("/"), key) for key in group)
        return Owned(group, {name: key for (of, _, name), key in parts if of in ("", namespace)})

    def lacks(self, child: Mapping[str, Any]) -> bool:
        """Whether `child` is not among the objects that the parent owns, although its kind and version are shown."""
        group, metadata = self.children.get(Kind.of(child).key), child["metadata"]
        name = metadata["name"]
        return group is not None and name not in group and f"{metadata['namespace']}/{name}" not in group


@dataclass(frozen=True, slots=True)
class CompositeHookRequest:
    """The part of a sync request that we answer to: the raw parent, and its children."""

    parent: dict[str, Any]
    shown: Shown


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
    return CompositeHookRequest(parent, Shown(children))

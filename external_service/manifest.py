"""ExternalServices as users write them in files: several documents, Lists, other objects between them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from external_service.documents import Unreadable, documents
from external_service.invalid import admission_problems, unknown_fields
from external_service.kind import GROUP, KIND
from external_service.v1alpha1 import ExternalService

NOTHING = "there is no ExternalService in it: write one"


class InvalidInput(Exception):
    """The text cannot be used; `problems` are lines that say where, and what to write instead."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """One ExternalService, as read and as written (`raw`); `where` names its place among several of one file."""

    where: str
    parent: ExternalService
    raw: dict[str, Any]


class Manifests(NamedTuple):
    """The ExternalServices of a file; a warning for each unknown field and each object of another API group."""

    documents: list[Document]
    warnings: list[str]


def external_services(source: str, *, required: bool = True) -> Manifests:
    """Every ExternalService in `source`; loopback addresses are allowed, for this is one's own machine.

    Objects of other API groups are passed over. Raises InvalidInput for an ExternalService that the API server would
    not take, and without any if one is `required`.
    """
    found, problems, warnings = [], [], []
    for where, raw in _located(source):
        if (other := _other_kind(raw)) is not None:
            warnings.append(f"{where}passed over: {other}")
        elif refused := admission_problems(raw, loopback=True):
            problems += [f"{where}{line}" for line in (*refused, *unknown_fields(raw))]
        else:
            warnings += [f"{where}{line}" for line in unknown_fields(raw)]
            found.append(Document(where, ExternalService.model_validate(raw), raw))
    if required and not found and not problems:
        problems = [*warnings, NOTHING]
    if problems:
        raise InvalidInput(*problems)
    return Manifests(found, warnings)


def _located(source: str) -> list[tuple[str, Any]]:
    """Each document with the text that tells it from the others; the items of a List count as documents."""
    try:
        found = [item for document in documents(source) for item in _items(document)]
    except Unreadable as problem:
        raise InvalidInput(str(problem)) from None
    if len(found) < 2:
        return [("", document) for document in found]
    return [(f"document {number}: ", document) for number, document in enumerate(found, start=1)]


def _items(document: Any) -> list[Any]:
    if isinstance(document, Mapping) and document.get("kind") in ("List", f"{KIND}List"):
        items = document.get("items")
        return items if isinstance(items, list) else []
    return [document]


def _other_kind(raw: Any) -> str | None:
    """Name of the object if it is of another API group."""
    if not isinstance(raw, Mapping):
        return None
    version, kind = raw.get("apiVersion"), raw.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str) or not version or not kind or kind == KIND:
        return None
    return None if version.startswith(f"{GROUP}/") else f"{kind} ({version})"

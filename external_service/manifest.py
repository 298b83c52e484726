"""ExternalServices as users write them in files: YAML or JSON, several documents, Lists. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from external_service.invalid import admission_problems, unknown_fields
from external_service.v1alpha1 import ExternalService


class InvalidInput(Exception):
    """The text cannot be used; `problems` are lines that say where, and what to write instead."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """One ExternalService with what was worth a warning; `where` tells it from the others of its file, or is empty."""

    where: str
    parent: ExternalService
    warnings: tuple[str, ...]


def external_services(source: str) -> tuple[Document, ...]:
    """Every ExternalService in `source`; loopback addresses are allowed, for this is one's own machine.

    Raises InvalidInput for anything that the API server would not take.
    """
    found, problems = [], []
    for where, raw in _documents(source):
        if refused := admission_problems(raw, loopback=True):
            problems += [f"{where}{line}" for line in refused]
        else:
            warnings = tuple(f"{where}{line}" for line in unknown_fields(raw))
            found.append(Document(where, ExternalService.model_validate(raw), warnings))
    if problems:
        raise InvalidInput(*problems)
    return tuple(found)


def _documents(source: str) -> list[tuple[str, Any]]:
    """Each document with the text that tells it from the others; the items of a List count as documents."""
    try:
        loaded = [document for document in yaml.load_all(source, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(_not_yaml(error)) from None
    found = [item for document in loaded for item in _items(document)]
    if not found:
        raise InvalidInput("there is nothing in it: write an ExternalService")
    if len(found) == 1:
        return [("", found[0])]
    return [(f"document {number}: ", document) for number, document in enumerate(found, start=1)]


def _not_yaml(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f"line {mark.line + 1}: this is not YAML: {what}" if mark is not None else f"this is not YAML: {what}"


def _items(document: Any) -> list[Any]:
    if isinstance(document, Mapping) and document.get("kind") in ("List", "ExternalServiceList"):
        items = document.get("items")
        return items if isinstance(items, list) else []
    return [document]


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: no dates (they stay text), and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                raise yaml.MarkedYAMLError(problem=f'the key "{key.value}" is there twice', problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

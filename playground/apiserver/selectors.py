"""Label and field selectors, parsed once a request (k8s.io/apimachinery pkg/labels and pkg/fields)."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from playground.apiserver.errors import bad_request
from playground.apiserver.resources import EVENTS, Resource

Matcher = Callable[[Mapping[str, Any]], bool]

METADATA_FIELDS = ("metadata.name", "metadata.namespace")
_SET = re.compile(r"^\s*([^\s,=!()]+)\s+(in|notin)\s+\(([^()]*)\)\s*$")
_EQUALITY = re.compile(r"^\s*([^\s,=!()]+)\s*(==|=|!=)\s*([^\s,=!()]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s,=!()]+)\s*$")
_FIELD = re.compile(r"^([^=!]+)(!=|==|=)(.*)$")


def label_selector(text: str) -> Matcher:
    """A predicate over whole objects; 400 for a selector that does not parse."""
    parts = re.split(r",(?![^()]*\))", text) if text.strip() else []
    requirements = [_requirement(part) for part in parts]

    def matches(obj: Mapping[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(holds(labels) for holds in requirements)

    return matches


def field_selector(text: str, resource: Resource) -> Matcher:
    """A predicate over whole objects for `path=value,path!=value`; 400 for a path that the resource does not have."""
    terms: list[tuple[list[str], str, bool]] = []
    for part in filter(None, text.split(",")):
        found = _FIELD.match(part)
        if found is None:
            raise bad_request(f"invalid field selector: {part!r}; write path=value")
        path, operator, value = found.groups()
        if path not in METADATA_FIELDS and resource is not EVENTS:
            raise bad_request(f'field label not supported: "{path}"')
        terms.append((path.split("."), value, operator != "!="))
    return lambda obj: all((_at(obj, path) == value) is wanted for path, value, wanted in terms)


def _at(obj: Mapping[str, Any], path: list[str]) -> str:
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def _requirement(part: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, operator, words = found.groups()
        values, wanted = {word.strip() for word in words.split(",")}, operator == "in"
        return lambda labels: (key in labels and labels[key] in values) is wanted
    if found := _EQUALITY.match(part):
        key, operator, value = found.groups()
        return lambda labels: (labels.get(key) == value) is (operator != "!=")
    if found := _EXISTS.match(part):
        absent, key = found.groups()
        return lambda labels: (key in labels) is not bool(absent)
    raise bad_request(f"unable to parse requirement: {part!r}")

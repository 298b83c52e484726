"""Label and field selectors, parsed once a request (k8s.io/apimachinery pkg/labels and pkg/fields)."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from playground.apiserver.errors import bad_request

Matcher = Callable[[Mapping[str, Any]], bool]

_SET = re.compile(r"^\s*([^\s,=!()]+)\s+(in|notin)\s+\(([^()]*)\)\s*$")
_EQUALITY = re.compile(r"^\s*([^\s,=!()]+)\s*(==|=|!=)\s*([^\s,=!()]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s,=!()]+)\s*$")


def label_selector(text: str) -> Matcher:
    """A predicate over whole objects; raises 400 on a selector that does not parse."""
    requirements = [_requirement(part) for part in _split(text)] if text.strip() else []

    def matches(obj: Mapping[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(holds(labels) for holds in requirements)

    return matches


def field_selector(text: str, allowed: frozenset[str]) -> Matcher:
    """A predicate over whole objects for `path=value,path!=value`; a path outside `allowed` is refused with 400."""
    terms: list[tuple[list[str], str, bool]] = []
    for part in filter(None, text.split(",")):
        found = re.match(r"^([^=!]+)(!=|==|=)(.*)$", part)
        if found is None:
            raise bad_request(f"invalid field selector: {part!r}; write path=value")
        path, operator, value = found.groups()
        if path not in allowed:
            raise bad_request(f'field label not supported: "{path}"')
        terms.append((path.split("."), value, operator != "!="))

    def matches(obj: Mapping[str, Any]) -> bool:
        return all((_at(obj, path) == value) is wanted for path, value, wanted in terms)

    return matches


def _at(obj: Mapping[str, Any], path: list[str]) -> str:
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def _split(text: str) -> list[str]:
    return re.split(r",(?![^()]*\))", text)


def _requirement(part: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, operator, words = found.groups()
        values = frozenset(word.strip() for word in words.split(","))
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: key not in labels or labels[key] not in values
    if found := _EQUALITY.match(part):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(part):
        absent, key = found.groups()
        return lambda labels: (key not in labels) if absent else (key in labels)
    raise bad_request(f"unable to parse requirement: {part!r}")

"""Scope of one installation: all namespaces or some, and a label selector. Pure.

Several installations share a cluster by selectors that exclude each other; their replicas find each other by `group`.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b

from external_service.kind import KEY, NAME

EVERYTHING = "All"
"""The group that works for every ExternalService; no namespace can be called that."""

SELECTOR_WISH = "a label selector such as eso.example.com/shard=a or tier in (gold,silver),!legacy; nothing: all"

_VALUE = f"({NAME})?"
_REQUIREMENT = re.compile(
    rf"(?P<absent>!\s*)?(?P<key>{KEY})"
    rf"(?:\s*(?P<sign>==|=|!=)\s*(?P<value>{_VALUE})|\s+(?P<word>in|notin)\s*\(\s*(?P<values>{_VALUE}(?:\s*,\s*{_VALUE})*)\s*\))?"
)
_BETWEEN = re.compile(r",(?![^(]*\))")


@dataclass(frozen=True, slots=True)
class Scope:
    """`namespaces` in order, each once, empty: all; `selector` as `canonical` writes it, empty: all."""

    namespaces: tuple[str, ...] = ()
    selector: str = ""

    def covers(self, namespace: str) -> bool:
        """Whether this installation works in `namespace`."""
        return not self.namespaces or namespace in self.namespaces

    @property
    def group(self) -> str:
        """A label value that two scopes have in common only if they are the same."""
        if not self.selector and len(self.namespaces) <= 1:
            return self.namespaces[0] if self.namespaces else EVERYTHING
        told = f"{','.join(self.namespaces)}\n{self.selector}"
        return f"Scope-{blake2b(told.encode(), digest_size=8).hexdigest()}"


def canonical(selector: str) -> str:
    """The same label selector in one way of writing it. ValueError for what the API server would not read.

    The grammar of k8s.io/apimachinery pkg/labels, without `>` and `<`, which no LabelSelector object can say.
    """
    if not selector.strip():
        return ""
    return ",".join(sorted({_requirement(part.strip()) for part in _BETWEEN.split(selector)}))


def _requirement(text: str) -> str:
    found = _REQUIREMENT.fullmatch(text)
    if found is None or (found["absent"] and (found["sign"] or found["word"])):
        raise ValueError(f"{text!r} is no requirement of a label selector")
    key = found["key"]
    if found["absent"]:
        return f"!{key}"
    if found["sign"]:
        return f"{key}{'!=' if found['sign'] == '!=' else '='}{found['value']}"
    if found["word"]:
        values = sorted({value.strip() for value in found["values"].split(",")})
        return f"{key} {found['word']} ({','.join(values)})"
    return key

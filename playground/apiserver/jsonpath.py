"""The JSONPath of printer columns (k8s.io/client-go/util/jsonpath): names, indices, *, unions, `?(@.a=="b")`. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+)
      | \[(?P<index>-?\d+)\]
      | \[(?P<all>\*)\]
      | \[(?P<names>'[^]]*')\]
      | \[\?\(@\.(?P<field>[\w.]+)\s*==\s*["'](?P<value>[^"']*)["']\)\]""",
    re.VERBOSE,
)


def find(obj: Any, path: str) -> list[Any]:
    """All values at `path`, in order; none where a key is missing. ValueError for a path that cannot be read."""
    found, position = [obj], 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise ValueError(f"unrecognized column definition {path!r}")
        found = [value for item in found for value in _take(item, step)]
        position = step.end()
    return found


def _take(item: Any, step: "re.Match[str]") -> Iterator[Any]:
    if name := step["name"]:
        yield from _fields(item, [name.replace("\\", "")])
    elif names := step["names"]:
        yield from _fields(item, re.findall(r"'([^']*)'", names))
    elif isinstance(item, list):
        if step["all"]:
            yield from item
        elif index := step["index"]:
            yield from item[int(index) : int(index) + 1 or None]
        else:
            yield from (one for one in item if find(one, f".{step['field']}") == [step["value"]])
    elif step["all"] and isinstance(item, Mapping):
        yield from item.values()


def _fields(item: Any, names: list[str]) -> Iterator[Any]:
    if isinstance(item, Mapping):
        yield from (item[name] for name in names if name in item)

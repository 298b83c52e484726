"""YAML and JSON as kubectl reads them (k8s.io/apimachinery/pkg/util/yaml, sigs.k8s.io/yaml), to plain values. Pure.

Stricter than kubectl in one place: a key that occurs twice is an error, as in the API server's strict validation.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

_SEPARATOR = re.compile(r"---[ \t]*(#.*)?")
_SIGN = r"[-+]?"
_INTEGER = re.compile(_SIGN + r"(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(_SIGN + r"(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NUMBER_BEGINS = frozenset("+-.0123456789")
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), False),
}
_NOT_FINITE = re.compile(_SIGN + r"\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
MOST_VALUES = 1_000_000
_LARGEST_EXACT = 1e21
"""From here on Go writes an exponent."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"


class Unreadable(ValueError):
    """Neither YAML nor JSON; the text says where, and what was found."""


def documents(source: str) -> list[Any]:
    """Every document in `source` but empty ones: YAML, JSON, JSON objects one after the other. Raises Unreadable."""
    found: list[Any] = []
    for line, text in _parts(source.removeprefix("\ufeff")):
        try:
            found += _json(text) if text.lstrip().startswith("{") else _yaml(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            at = f"line {line + mark.line}: " if mark is not None else ""
            raise Unreadable(f"{at}this is not YAML: {error.problem}{_template(source)}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            raise Unreadable(f"this is not YAML: {reason}{_template(source)}") from None
    if _values(found, {}) > MOST_VALUES:
        raise Unreadable(f"it has more than {MOST_VALUES} values, those of its aliases included")
    return [document for document in found if document is not None]


def _parts(source: str) -> Iterator[tuple[int, str]]:
    """The text between lines of ---, with the number of its first line."""
    part: list[str] = []
    first = 1
    for number, line in enumerate(source.split("\n"), start=1):
        if not line.startswith("---"):
            part.append(line)
            continue
        if not _SEPARATOR.fullmatch(line.rstrip("\r")):
            raise Unreadable(f"line {number}: write --- on a line of its own")
        yield first, "\n".join(part)
        part, first = [], number + 1
    yield first, "\n".join(part)


def _values(value: Any, known: dict[int, int]) -> int:
    """Number of values in it: a few lines of aliases may be billions. `known` is of those counted, by id."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_values(one, known) for one in inner)
    return known[id(value)]


def _template(source: str) -> str:
    return " (a Helm template? Render it first, with helm template)" if "{{" in source else ""


def _json(text: str) -> list[Any]:
    """JSON objects one after the other; text that is no JSON is YAML, such as a flow mapping without quotes."""
    decoder = json.JSONDecoder(object_pairs_hook=_no_key_twice, parse_float=_float, parse_constant=_no_json)
    found: list[Any] = []
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            if found:
                raise
            return _yaml(text)
        found.append(_whole_characters(value))
    return found


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise yaml.MarkedYAMLError(problem=f'the key "{key}" is there twice')
        made[key] = value
    return made


def _no_json(constant: str) -> Any:
    raise json.JSONDecodeError(constant, constant, 0)


def _whole_characters(value: Any) -> Any:
    """Without halves of surrogate pairs, as Go replaces them."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return value


def _float(text: str) -> int | float | str:
    """A whole number where it is one, as it is written in JSON; text where it is too large for a float."""
    number = float(text)
    if number in (float("inf"), float("-inf")):
        return text
    return int(number) if number.is_integer() and abs(number) < _LARGEST_EXACT else number


def _yaml(text: str) -> list[Any]:
    return list(yaml.load_all(text, Loader=_Loader))


def _plain(text: str) -> Any:
    """A plain scalar by the rules of YAML 1.1 as gopkg.in/yaml.v2 applies them: no dates, no numbers to the base 60."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in _NUMBER_BEGINS:
        return text
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no number that JSON can hold")
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        number = _integer(digits)
        if -(2**63) <= number < 2**64:
            return number
    return _float(digits) if _FLOAT.fullmatch(digits) else text


def _integer(digits: str) -> int:
    sign = -1 if digits.startswith("-") else 1
    bare = digits.lstrip("+-")
    octal = len(bare) > 1 and bare[0] == "0" and bare[1].isdigit()
    return sign * (int(bare, 8) if octal else int(bare, 0))


class _Loader(yaml.SafeLoader):
    """`_plain` alone decides the type of a plain scalar."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        "<": [(f"{_TAG}merge", re.compile("<<$"))],
        None: [(f"{_TAG}plain", re.compile(""))],
    }

    def scan_to_next_token(self) -> None:
        """Tabs, too, where libyaml skips them: not in the indentation of a block."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: yaml.Mark) -> list[str] | None:
        """Tabs, too, within a plain scalar and where the next line of it is indented."""
        length = 0
        while self.peek(length) in " \t":
            length += 1
        blanks = self.prefix(length)
        if "\t" in blanks:
            self.forward(length)
        chunks: list[str] | None = super().scan_plain_spaces(indent, start_mark)
        if chunks:
            while self.column >= indent and self.peek() in " \t":
                self.forward()
        elif chunks is not None and "\t" in blanks:
            return [blanks]
        return chunks

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """An anchor may be given again: an alias means the last one."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(getattr(event, "anchor", None), None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002 - PyYAML's signature
        own = [key for key, _ in node.value if key.tag != f"{_TAG}merge"]
        seen: set[str] = set()
        for key in own:
            name = self._key(key)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f'the key "{name}" is there twice', problem_mark=key.start_mark)
            seen.add(name)
        made: dict[Any, Any] = {}
        for pair in node.value:
            one = yaml.MappingNode(node.tag, [pair])
            self.flatten_mapping(one)  # where it stands: it replaces the keys before it
            made |= {self._key(key): self.construct_object(value, deep=True) for key, value in one.value}
        return made

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and _SURROGATE.search(value):
            raise yaml.MarkedYAMLError(
                problem="half of a surrogate pair: write the character itself, or as in \\U0001F600",
                problem_mark=node.start_mark,
            )
        return value

    def _key(self, node: yaml.Node) -> str:
        """A key as text: numbers and booleans as JSON writes them."""
        if not isinstance(node, yaml.ScalarNode):
            kind = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
            raise yaml.MarkedYAMLError(problem=f"{kind} as a key: write a text", problem_mark=node.start_mark)
        key = self.construct_object(node)
        if key is None:
            raise yaml.MarkedYAMLError(problem="null as a key: write a text", problem_mark=node.start_mark)
        return key if isinstance(key, str) else json.dumps(key)

    def construct_plain(self, node: yaml.Node) -> Any:
        """See `_plain`. A value of any tag that is not known counts as if it had none."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - there is no fourth kind of node
        return _plain(node.value) if node.tag == f"{_TAG}plain" else self.construct_scalar(node)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """After !!int or !!float."""
        return _plain(self.construct_scalar(node))

    def construct_binary(self, node: yaml.ScalarNode) -> str:
        """After !!binary: text, for JSON has no bytes."""
        return base64.b64decode(self.construct_scalar(node)).decode("utf-8", "replace")


_Loader.add_constructor(f"{_TAG}int", _Loader.construct_number)
_Loader.add_constructor(f"{_TAG}float", _Loader.construct_number)
_Loader.add_constructor(f"{_TAG}bool", _Loader.construct_number)
_Loader.add_constructor(f"{_TAG}binary", _Loader.construct_binary)
for _tag in ("merge", "timestamp", "set", "omap", "pairs"):
    _Loader.add_constructor(_TAG + _tag, _Loader.construct_plain)
_Loader.add_constructor(None, _Loader.construct_plain)

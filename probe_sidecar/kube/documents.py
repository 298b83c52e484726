"""Reads the JSON that the API server sends.

An author of an object may fill its `metadata.managedFields` with a megabyte, or nest them deeper than a decoder
goes. So a document that is large or cannot be decoded is read object by object: managedFields are cut out before, and
an object that cannot be decoded is left out and named. The others are read.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import orjson

Object = dict[str, Any]

LARGE: Final = 1 << 19
"""Bytes of a document whose managedFields are cut out before it is decoded."""
NAME_LENGTH: Final = 253
NO_NAME: Final = "?"
IDENTITY: Final = ("namespace", "name", "uid", "resourceVersion")
"""Metadata that every stored object of a namespace has."""
READ: Final = (*IDENTITY, "generation")
"""All that is read of it."""
PATH_LENGTH: Final = 3
"""Fields that a message names of the way to one that cannot be decoded."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TO_BRACKET = re.compile(rb"(?:[^\"{}\[\]]++|" + _STRING + rb"|\{\}|\[\])*+[{}\[\]]", re.DOTALL)
"""Up to the next bracket; an empty object or array, as most of managedFields are, is passed over."""
_OPENING = frozenset(b"{[")
_VALUE = re.compile(rb"\s*(" + _STRING + rb"|[^\s,:{}\[\]\"]+|[{\[])", re.DOTALL)
_KEY = re.compile(rb"\s*,?\s*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_MANAGED_FIELDS = re.compile(rb"(?<!\\)\"managedFields\"\s*:\s*(?=[\[{])")
_COMMA = re.compile(rb"\s*,?\s*")
_END = re.compile(rb"\s*[}\]]")


class Unreadable(ValueError):
    """An object that cannot be read. `problem` names the field and what to do.

    `identity` has the fields of IDENTITY as far as they can be read, else "?"; `generation` is None where it cannot.
    """

    def __init__(self, metadata: object, problem: str) -> None:
        stated = metadata if isinstance(metadata, dict) else {}
        self.identity = {field: str(stated.get(field) or NO_NAME)[:NAME_LENGTH] for field in IDENTITY}
        self.generation = stated.get("generation") if isinstance(stated.get("generation"), int) else None
        self.name = f"{self.identity['namespace']}/{self.identity['name']}"
        self.problem = problem
        super().__init__(f"{self.name}: {problem}")

    def alone(self) -> "Unreadable":
        """Itself without the frames that raised it, to be kept: they hold the text of the whole response."""
        self.__context__ = None
        return self.with_traceback(None)


def is_large(text: bytes) -> bool:
    """Whether reading it takes long: do it beside the event loop."""
    return len(text) > LARGE and b'"managedFields"' in text


def trimmed(metadata: Object) -> Object:
    """Without what is never read: an author may fill a megabyte with labels, annotations or managedFields."""
    return {field: metadata[field] for field in READ if field in metadata}


async def parsed(text: bytes, inner: str = "") -> Any:
    """The document, read beside the event loop where it takes long. Raises ValueError for what is no JSON.

    An object that cannot be decoded becomes an Unreadable: one in the field `inner`, or else the whole document.
    """
    return await asyncio.to_thread(_parsed, text, inner) if is_large(text) else _parsed(text, inner)


def _parsed(text: bytes, inner: str) -> Any:
    if is_large(text):
        text = _without_managed_fields(text)
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(text)
    begin = _start(text)
    if not inner:
        return _object(text[begin:])
    found = Object()
    for key, value in _fields(text, begin).items():
        name = orjson.loads(key)
        if name != inner:
            found[name] = orjson.loads(value)
        elif value.startswith(b"["):
            found[name] = [_object(item) for item in _elements(value)]
        else:
            found[name] = _object(value)
    return found


def _object(text: bytes) -> Any:
    """One object without its managedFields, or Unreadable."""
    try:
        text = _without_managed_fields(text)
        return orjson.loads(text)
    except ValueError as error:
        problem = error.msg if isinstance(error, orjson.JSONDecodeError) else str(error)  # without its place
        return Unreadable(_metadata(text), f"{_undecodable(text)} cannot be decoded ({problem}): replace it")


def _without_managed_fields(text: bytes) -> bytes:
    """The same document with null for the managedFields of each object. Raises ValueError for what is no JSON.

    A quote within a string is escaped, so the pattern finds keys only.
    """
    pieces, last = list[bytes](), 0
    while (found := _MANAGED_FIELDS.search(text, last)) is not None:
        pieces += text[last : found.end()], b"null"
        last = _end(text, found.end())
    return b"".join((*pieces, text[last:]))


def _metadata(text: bytes) -> Object:
    """Readable fields of the metadata that name the object."""
    found = Object()
    with suppress(ValueError):
        written = _fields(_fields(text, 0).get(b'"metadata"', b"{}"), 0)
        for field in READ:
            found[field] = orjson.loads(written.get(f'"{field}"'.encode(), b"null"))
    return found


def _undecodable(text: bytes) -> str:
    """The path of the field that cannot be decoded, as far as it is looked for."""
    path = list[str]()
    with suppress(ValueError):
        while len(path) < PATH_LENGTH and (found := _bad_field(text)) is not None:
            name, text = found
            path.append(name)
    return ".".join(path) or "the object"


def _bad_field(text: bytes) -> tuple[str, bytes] | None:
    """Name and value of the first field that cannot be decoded."""
    for key, value in _fields(text, 0).items() if text.startswith(b"{") else ():
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return key.decode("utf-8", "replace").strip('"')[:NAME_LENGTH], value
    return None


def _start(text: bytes) -> int:
    at = len(text) - len(text.lstrip())
    if text[at : at + 1] != b"{":
        raise ValueError("the response is not an object")
    return at


def _fields(text: bytes, at: int) -> dict[bytes, bytes]:
    """The object that begins at `at`: its keys, with their quotes, and its values, as they are written."""
    fields = dict[bytes, bytes]()
    at += 1
    while not _END.match(text, at):
        key = _KEY.match(text, at)
        if key is None:
            raise ValueError("not JSON")
        at = _end(text, key.end())
        fields[key[1]] = text[key.end() : at]
    return fields


def _elements(text: bytes) -> Iterator[bytes]:
    """Elements of the array that begins `text`, as they are written."""
    at = 1
    while not _END.match(text, at):
        at = _COMMA.match(text, at).end()  # type: ignore[union-attr] # it matches anywhere
        end = _end(text, at)
        yield text[at:end]
        at = end


def _end(text: bytes, at: int) -> int:
    """End of the value that begins at `at`."""
    value = _VALUE.match(text, at)
    if value is None:
        raise ValueError("not JSON")
    if value[1] not in (b"{", b"["):
        return value.end()
    depth = 1
    for found in _TO_BRACKET.finditer(text, value.end()):
        depth += 1 if text[found.end() - 1] in _OPENING else -1
        if not depth:
            return found.end()
    raise ValueError("cut off")

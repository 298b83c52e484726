"""The one protobuf body that is read: that of `kubectl create namespace`. Others are refused with a hint. Pure."""

from typing import Any

from playground.apiserver.errors import ApiError

MAGIC = b"k8s\x00"


def named_object(body: bytes) -> dict[str, Any]:
    """A v1 Namespace from a runtime.Unknown envelope: only its name is read. 415 for any other kind."""
    try:
        envelope = _fields(body.removeprefix(MAGIC))
        kind = _fields(envelope[1])[2].decode()
        if kind == "Namespace":
            return {"kind": kind, "metadata": {"name": _fields(_fields(envelope[2])[1])[1].decode()}}
    except (KeyError, IndexError, UnicodeDecodeError):
        kind = "this"
    text = f"the playground's API takes JSON and YAML, and {kind} came as protobuf: write it to a file and apply that"
    raise ApiError(415, "UnsupportedMediaType", text)


def _fields(message: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a message; others are skipped."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        length, position = _varint(message, position)
        if tag & 7 == 2:
            found[tag >> 3] = message[position : position + length]
            position += length
    return found


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position

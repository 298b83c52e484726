"""Quick answers: only what a sync needs is decoded, and what follows from a spec is remembered (ADR 0004).

Nothing is remembered that does not follow from the request itself, so replicas and restarts answer alike.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import orjson
from msgspec import MsgspecError, Raw, defstruct
from msgspec.json import Decoder
from pydantic import ValidationError

from app.api.core import ObjectMeta
from app.api.structs import struct_of
from app.api.v1alpha1 import API_VERSION, KIND, ExternalService, ExternalServiceStatus
from app.hook import InvalidRequest, Shown
from app.sync import SyncOptions, Wish, answer, wish

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of specs and annotations as JSON: some 8,000 ExternalServices of 10 addresses, or 500 of 1,000."""

_Metadata = defstruct(
    "Metadata", [("deletionTimestamp", str | None, None)], bases=(struct_of(ObjectMeta),), frozen=True, kw_only=True
)
_Parent = defstruct(
    "Parent",
    [
        ("apiVersion", Literal["eso.crowdfox.com/v1alpha1"]),
        ("kind", Literal["ExternalService"]),
        ("metadata", _Metadata),
        ("spec", Raw),
        ("status", Raw, Raw(b"{}")),
    ],
)
_Request = defstruct(
    "Request",
    [("parent", _Parent), ("children", dict[str, dict[str, Raw]] | None, None), ("finalizing", Literal[False], False)],
)
_request: Decoder[Any] = Decoder(_Request)
_told: Decoder[Any] = Decoder(struct_of(ExternalServiceStatus))
_parts = Decoder(dict[str, Raw])


class Quick:
    """Answers to requests as Metacontroller writes them, byte for byte what `sync` answers."""

    def __init__(self, options: SyncOptions, most_bytes: int = MOST_BYTES) -> None:
        self._options = options
        self._wishes = Wishes(options, most_bytes)

    def answer(self, body: bytes, now: datetime) -> bytes | None:
        """The answer in JSON; None for a request that `sync` is to judge, most often because something is wrong."""
        try:
            request = _request.decode(body)
            parent = request.parent
            told = _told.decode(parent.status)
            wanted = self._wishes.of(parent.metadata, bytes(parent.spec))
        except (MsgspecError, UnicodeDecodeError, RecursionError, ValidationError, InvalidRequest, ValueError):
            return None
        metadata = parent.metadata
        settled = metadata.deletionTimestamp is None and told.observedGeneration == metadata.generation
        shown = Shown(request.children or {})
        given = answer(wanted, told, shown, self._options, now, settled=settled)
        response: dict[str, Any] = {"status": _status(parent.status, given.reports), "children": given.children}
        if given.again is not None:
            response["resyncAfterSeconds"] = given.again
        return orjson.dumps(response)


class _Remembered(NamedTuple):
    spec: bytes
    annotations: Mapping[str, str]
    wish: Wish
    size: int


class Wishes:
    """What follows from each parent's spec, as long as that stays the same; the longest unused is forgotten first."""

    def __init__(self, options: SyncOptions, most_bytes: int) -> None:
        self._options = options
        self._room = most_bytes
        self._known: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()

    def of(self, metadata: Any, spec: bytes) -> Wish:
        """The wish of this spec; raises what `wish` raises, and ValidationError."""
        key = (metadata.namespace, metadata.name)
        known = self._known.get(key)
        if known is not None and known.spec == spec and known.annotations == metadata.annotations:
            self._known.move_to_end(key)
            return known.wish
        made = wish(_read(metadata, spec), self._options)
        self._remember(key, _Remembered(spec, metadata.annotations, made, _size(metadata.annotations, spec)))
        return made

    def _remember(self, key: tuple[str, str], new: _Remembered) -> None:
        old = self._known.pop(key, None)
        self._known[key] = new
        self._room += (old.size if old else 0) - new.size
        while self._room < 0:
            _, forgotten = self._known.popitem(last=False)
            self._room += forgotten.size


def _read(metadata: Any, spec: bytes) -> ExternalService:
    named = {"name": metadata.name, "namespace": metadata.namespace, "annotations": metadata.annotations}
    raw = {"apiVersion": API_VERSION, "kind": KIND, "metadata": named, "spec": orjson.loads(spec)}
    return ExternalService.model_validate(raw)


def _size(annotations: Mapping[str, str], spec: bytes) -> int:
    return len(spec) + sum(len(key) + len(value) for key, value in annotations.items())


def _status(raw: Raw, reports: list[dict[str, str]]) -> Any:
    """The status letter by letter as it was sent, but for our `children` reports."""
    as_sent = bytes(raw)
    if not reports and b'"children"' not in as_sent:
        return orjson.Fragment(as_sent)
    parts = {name: orjson.Fragment(bytes(part)) for name, part in _parts.decode(raw).items() if name != "children"}
    return {**parts, "children": reports} if reports else parts

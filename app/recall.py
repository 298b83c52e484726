"""Quick answers: only what a sync needs is decoded, and what follows from a spec and a status is remembered (ADR 0004).

Nothing is remembered that does not follow from the request itself, so replicas and restarts answer alike.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import orjson
from msgspec import MsgspecError, Raw, defstruct
from msgspec.json import Decoder
from pydantic import ValidationError

from app.children import endpoints
from app.hook import InvalidRequest, Shown
from app.sync import SLICES, Addresses, SyncOptions, Wish, addresses, answer, wish
from external_service.core import ObjectMeta
from external_service.kind import API_VERSION, KIND
from external_service.structs import struct_of
from external_service.v1alpha1 import ExternalService, ExternalServiceStatus

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of memory, by `Known.size`: some 4,500 ExternalServices of 10 addresses, or 140 of 1,000."""

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
        self._memory = Memory(options, most_bytes)

    def answer(self, body: bytes, now: datetime) -> bytes | None:
        """The answer in JSON; None for a request that `sync` is to judge, most often because something is wrong."""
        try:
            request = _request.decode(body)
            parent = request.parent
            status = bytes(parent.status)
            known = self._memory.of(parent.metadata, bytes(parent.spec), status)
        except (MsgspecError, UnicodeDecodeError, RecursionError, ValidationError, InvalidRequest, ValueError):
            return None
        metadata, shown = parent.metadata, Shown(request.children or {})
        settled = metadata.deletionTimestamp is None and known.observed_generation == metadata.generation
        if self._options.form != "Endpoints" or shown.children.get(SLICES.key):
            return self._whole(known, shown, now, settled).json(status)
        seen = (settled, *((kind, *group) for kind, group in shown.children.items()))
        if known.given is None or known.seen != seen:  # neither clock nor contents count, only which children are there
            known.seen, known.given = seen, self._whole(known, shown, now, settled)
        return known.given.json(status)

    def _whole(self, known: "Known", shown: Shown, now: datetime, settled: bool) -> "Given":
        given = answer(known.wish, known.addresses, shown, self._options, now, settled=settled)
        kinds = [child["kind"] for child in given.children]
        place = kinds.index(endpoints.KIND) if endpoints.KIND in kinds else None
        again = b"" if given.again is None else b',"resyncAfterSeconds":%b' % orjson.dumps(given.again)
        return Given(given.reports, tuple(map(orjson.dumps, given.children)), place, again)


class Given(NamedTuple):
    """An answer but for the status: our reports in that, the children in JSON, which are the Endpoints, the rest."""

    reports: list[dict[str, str]]
    children: tuple[bytes, ...]
    place: int | None
    rest: bytes

    def json(self, status: bytes) -> bytes:
        """All of it."""
        return b'{"status":%b,"children":[%b]%b}' % (_status(status, self.reports), b",".join(self.children), self.rest)

    def renewed(self, wanted: Wish, whom: Addresses) -> "Given":
        """The same view after a change of the status alone: only the Endpoints differ, or nothing."""
        if self.place is None:
            return self
        made, at = orjson.dumps(endpoints.desired(wanted.parent, whom)), self.place
        return self._replace(children=(*self.children[:at], made, *self.children[at + 1 :]))


@dataclass(slots=True, eq=False)
class Known:
    """What follows from one spec with these annotations and one status of it; `given` also from what was `seen`."""

    spec: bytes
    annotations: Mapping[str, str]
    wish: Wish
    status: bytes
    observed_generation: int
    addresses: Addresses
    seen: Hashable = None
    given: Given | None = None

    @property
    def size(self) -> int:
        """Bytes of memory, estimated by what was measured: thrice the JSON that it was made from, and 8,000 more."""
        texts = sum(len(key) + len(value) for key, value in self.annotations.items())
        return 3 * (len(self.spec) + len(self.status) + texts) + 8_000


class Memory:
    """The latest of each parent; used as far as nothing has changed, and the longest unused is forgotten first."""

    def __init__(self, options: SyncOptions, most_bytes: int) -> None:
        self._options = options
        self._room = most_bytes
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()

    def of(self, metadata: Any, spec: bytes, status: bytes) -> Known:
        """What follows from these; raises what `wish` raises, ValidationError, and MsgspecError."""
        key = (metadata.namespace, metadata.name)
        known = self._known.get(key)
        if known is None or known.spec != spec or known.annotations != metadata.annotations:
            known = None
            wanted = wish(_read(metadata, spec), self._options)
        elif known.status != status:
            wanted = known.wish
        else:
            self._known.move_to_end(key)
            return known
        told = _told.decode(status)
        whom = addresses(wanted, told, self._options)
        made = Known(spec, metadata.annotations, wanted, status, told.observedGeneration, whom)
        if known is not None and known.given is not None:
            made.seen, made.given = known.seen, known.given.renewed(wanted, whom)
        self._remember(key, made)
        return made

    def _remember(self, key: tuple[str, str], new: Known) -> None:
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


def _status(as_sent: bytes, reports: list[dict[str, str]]) -> bytes:
    """The status letter by letter as it was sent, but for our `children` reports."""
    if not reports and b'"children"' not in as_sent:
        return as_sent
    parts: dict[str, Any] = {
        name: orjson.Fragment(bytes(part)) for name, part in _parts.decode(as_sent).items() if name != "children"
    }
    return orjson.dumps({**parts, "children": reports} if reports else parts)

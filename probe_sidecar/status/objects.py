"""Raw objects as the API server stores them: which version is older, whether two statuses say the same. Pure."""

from hashlib import blake2b
from typing import Any

import orjson

from probe_sidecar.kube.client import GARBAGE, ApiError, Object
from probe_sidecar.kube.documents import trimmed


def whole(stored: Object) -> Object:
    """`stored`, trimmed, if it is a stored object; ApiError if a proxy responded instead."""
    metadata = stored.get("metadata")
    fields = ("uid", "resourceVersion", "name", "namespace")
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(field), str) for field in fields):
        raise ApiError(200, GARBAGE, "the response is not an object with uid, resourceVersion, name and namespace")
    stored["metadata"] = trimmed(metadata)
    return stored


def version(raw: Object) -> str:
    """metadata.resourceVersion."""
    return str(raw["metadata"]["resourceVersion"])


def older(one: Object, other: Object) -> bool:
    """Whether `one` is an earlier version. Versions of one resource compare as integers (KEP-5504); others never do."""
    mine, theirs = version(one), version(other)
    return mine.isdecimal() and theirs.isdecimal() and int(mine) < int(theirs)


def place(raw: Object) -> tuple[str, str]:
    """Namespace and name."""
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def content_hash(status: Any) -> bytes:
    """A digest of a status without its times and its revision; equal for equal JSON only."""
    said = {}
    if isinstance(status, dict):
        said = {
            **{field: status.get(field) for field in ("ready", "summary", "hosts", "ips")},
            "addresses": _timeless(status.get("addresses")),
            "conditions": _timeless(status.get("conditions")),
        }
    return blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _timeless(entries: Any) -> Any:
    if not isinstance(entries, list):
        return entries
    return [
        {key: value for key, value in entry.items() if key != "lastTransitionTime"}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]

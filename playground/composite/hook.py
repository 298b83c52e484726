"""The webhook call of a sync: the v1 and v2 request shapes, and how strictly the answer is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from playground.client import Kind

Object = dict[str, Any]
Observed = Mapping[Kind, Mapping[str, Object]]  # kind -> namespace/name -> child

FIELDS = {"status", "children", "resyncAfterSeconds", "finalized"}


class HookFailed(Exception):
    """The hook did not answer 200 with a body that can be read; neither children nor status are touched."""


class TooManyRequests(Exception):
    """429: come back after `seconds`, without an Event."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come back after {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What the hook wants; `status` None becomes an empty one."""

    status: Object
    children: tuple[Object, ...]
    resync_after: float


def hook_request(controller: Mapping[str, Any], parent: Object, observed: Observed, version: str) -> Object:
    """The body: children keyed namespace/name in v2, by bare name in v1."""
    children = {
        kind.key: {(name if version == "v2" else name.rpartition("/")[2]): child for name, child in found.items()}
        for kind, found in observed.items()
    }
    return {"controller": controller, "parent": parent, "children": children, "related": {}, "finalizing": False}


async def call_hook(http: httpx.AsyncClient, path: str, request: Object, *, version: str, seconds: float) -> HookAnswer:
    """POSTs and reads the answer; raises HookFailed or TooManyRequests. v2 refuses unknown and duplicate fields."""
    headers = {"Content-Type": "application/json"}
    try:
        response = await http.post(path, content=orjson.dumps(request), headers=headers, timeout=seconds)
    except httpx.HTTPError as problem:
        raise HookFailed(f"sync hook failed (version={version}): http error: {problem!r}") from problem
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise TooManyRequests(_seconds(response.headers.get("Retry-After", ""), response))
    if response.status_code != httpx.codes.OK:
        text = f"unsupported status code: {response.status_code} body: {response.text}"
        raise HookFailed(f"sync hook failed (version={version}): {text}")
    return _read(response.content, version)


def _seconds(text: str, response: httpx.Response) -> float:
    """A missing or odd header counts as 0 s: an immediate retry, as in the real one."""
    if text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(response.headers["Date"])
        return max(0.0, (parsedate_to_datetime(text) - date).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0


def _read(body: bytes, version: str) -> HookAnswer:
    where = f"can't unmarshal webhookResponse (version: {version}, type: sync)"
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise HookFailed(f"{where}: {problem}") from problem
    if not isinstance(answer, dict):
        raise HookFailed(f"{where}: not an object")
    if version == "v2" and (unknown := answer.keys() - FIELDS):
        raise HookFailed(f"strict validation failed for v2 webhookResponse: unknown field {min(unknown)!r}")
    status, children = answer.get("status") or {}, answer.get("children") or []
    if not isinstance(status, dict) or not isinstance(children, list) or not _named(children):
        raise HookFailed(f"{where}: status must be an object, children a list of named objects")
    return HookAnswer(status, tuple(children), float(answer.get("resyncAfterSeconds") or 0))


def _named(children: Iterable[Any]) -> bool:
    return all(
        isinstance(child, dict)
        and child.get("apiVersion")
        and child.get("kind")
        and child.get("metadata", {}).get("name")
        for child in children
    )

"""The webhook call of a sync: the v2 request, and the strict reading of its response."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from playground.client import Kind
from playground.values import Object

Observed = dict[Kind, dict[str, Object]]
"""Kind -> namespace/name -> child."""

FIELDS = {"status", "children", "resyncAfterSeconds", "finalized"}


class HookFailed(Exception):
    """The response is not 200, or cannot be read; neither children nor status are changed."""


class TooManyRequests(Exception):
    """429: to be retried after `seconds`, without an Event."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"retry after {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class HookResponse:
    """Response of the hook; an absent status is empty."""

    status: Object
    children: tuple[Object, ...]
    resync_after: float


def hook_request(controller: Mapping[str, Any], parent: Object, observed: Observed) -> Object:
    """The body of the request."""
    children = {kind.key: dict(found) for kind, found in observed.items()}
    return {"controller": controller, "parent": parent, "children": children, "related": {}, "finalizing": False}


async def call_hook(http: httpx.AsyncClient, path: str, request: Object, seconds: float) -> HookResponse:
    """POSTs and reads the response; raises HookFailed or TooManyRequests."""
    headers = {"Content-Type": "application/json"}
    try:
        response = await http.post(path, content=orjson.dumps(request), headers=headers, timeout=seconds)
    except httpx.HTTPError as problem:
        raise HookFailed(f"sync hook failed (version=v2): http error: {problem!r}") from problem
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        after = response.headers.get("Retry-After", "")
        raise TooManyRequests(float(after) if after.isdigit() else 0.0)
    if response.status_code != httpx.codes.OK:
        text = f"unsupported status code: {response.status_code} body: {response.text}"
        raise HookFailed(f"sync hook failed (version=v2): {text}")
    return _read(response.content)


def _read(body: bytes) -> HookResponse:
    where = "can't unmarshal webhookResponse (version: v2, type: sync)"
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise HookFailed(f"{where}: {problem}") from problem
    if not isinstance(answer, dict):
        raise HookFailed(f"{where}: not an object")
    if unknown := answer.keys() - FIELDS:
        raise HookFailed(f"strict validation failed for v2 webhookResponse: unknown field {min(unknown)!r}")
    status, children = answer.get("status") or {}, answer.get("children") or []
    if not isinstance(status, dict) or not isinstance(children, list) or not all(map(_named, children)):
        raise HookFailed(f"{where}: status must be an object, children a list of named objects")
    return HookResponse(status, tuple(children), float(answer.get("resyncAfterSeconds") or 0))


def _named(child: Any) -> bool:
    fields = ("apiVersion", "kind", "metadata")
    return isinstance(child, dict) and all(child.get(name) for name in fields) and bool(child["metadata"].get("name"))

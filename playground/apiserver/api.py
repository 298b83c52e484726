"""The HTTP side: a Starlette application that responds as an API server does, from a Storage and a Registry."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import yaml
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from playground.apiserver import discovery, events, garbage, protobuf
from playground.apiserver.audit import Audit, Audited
from playground.apiserver.errors import ApiError, about, bad_request, expired, forbidden, invalid, required
from playground.apiserver.patch import APPLY_PATCH, patched
from playground.apiserver.registry import Registry, Write, Written
from playground.apiserver.request import RequestInfo, request_info
from playground.apiserver.resources import SERVED, Resource
from playground.apiserver.selectors import Matcher, field_selector, label_selector
from playground.apiserver.storage import Storage
from playground.apiserver.table import table
from playground.apiserver.watch import Cut, Watch, start

Object = dict[str, Any]

HEALTH = ("/healthz", "/livez", "/readyz")
OPENAPI_V2 = "/openapi/v2"
OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
BODY_LIMIT = 3 * 1024 * 1024  # k8s.io/apiserver MaxRequestBodyBytes
WATCH_SECONDS = 1800


class Api:
    """`app` is the ASGI application. The other public attributes may be changed while it serves.

    `tokens`: token to user name; with None every client is let in, and is known by its User-Agent.
    `gc_seconds`: how long dependents outlive their owner; None is a cluster without kube-controller-manager.
    `before` is called before each request, with verb, resource and actor; if it returns true, the response is lost.
    `bookmark_seconds`: how often an idle watch receives a bookmark. While `flowing` is cleared, watches stay open and
    send nothing. `hang_up` breaks the connection of a client.
    """

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self.app = Starlette(routes=[Route("/{path:path}", self._endpoint, methods=METHODS)])
        self.storage = storage
        self.registry = registry
        self.audit = Audit()
        self.before: Callable[[str, str, str], Awaitable[bool]] = _nothing
        self.tokens: dict[str, str] | None = None
        self.gc_seconds: float | None = 0.05
        self.bookmark_seconds = 60.0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.hang_up: Callable[[tuple[str, int] | None], int] | None = None
        self._documents = discovery.documents(SERVED)
        self._continues: dict[str, tuple[int, list[Object]]] = {}
        self._timers: set[asyncio.TimerHandle] = set()

    def close(self) -> None:
        """Cancels pending garbage collections."""
        for timer in self._timers:
            timer.cancel()

    async def _endpoint(self, request: Request) -> Response:
        path = request.url.path
        try:
            actor = self._actor(request)
            if path in HEALTH:
                return Response("ok", media_type="text/plain")
            if path == OPENAPI_V2:  # empty: kubectl asks for kinds that are not in v3
                return Response(b"", media_type=OPENAPI_V2_TYPE)
            if document := self._documents.get(path.rstrip("/")):
                return _json(document)
            info = request_info(request.method, path, request.query_params)
        except ApiError as refusal:
            return _refused(refusal)
        return await self._audited(request, info, actor)

    async def _audited(self, request: Request, info: RequestInfo, actor: str) -> Response:
        resource, changed = info.resource, False
        try:
            lost = await self.before(info.verb, resource.plural, actor)
            response, changed = await self._answer(request, info)
            if lost:
                self._hang_up_on(request)
        except ApiError as refusal:
            response = _refused(refusal)
        except ClientDisconnect:
            response = Response(status_code=499)
        place = (resource.group, resource.plural, info.subresource, info.namespace, info.name)
        self.audit.add(Audited(time.time(), actor, info.verb, *place, response.status_code, changed))
        return response

    def _actor(self, request: Request) -> str:
        if self.tokens is None:
            return _agent(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return self.tokens[token]

    async def _answer(self, request: Request, info: RequestInfo) -> tuple[Response, bool]:
        match info.verb:
            case "get":
                obj = self.registry.read(info.resource, info.namespace, info.name)
                return _json(_shown(request, info.resource, obj), warnings=_warning(info.resource)), False
            case "list":
                return self._list(request, info), False
            case "watch":
                return self._watch(request, info), False
            case _:
                written = self._write(request, info, await _body(request))
                if written.changed:
                    self._collect_soon()
                return _written(request, info, written), written.changed

    def _list(self, request: Request, info: RequestInfo) -> Response:
        query, resource = request.query_params, info.resource
        revision, items = self._page(query.get("continue", "")) or self._snapshot(query, info)
        limit = int(query.get("limit") or 0)
        meta: Object = {"resourceVersion": str(revision)}
        if limit and len(items) > limit:
            meta |= {"continue": self._remember(revision, items[limit:]), "remainingItemCount": len(items) - limit}
            items = items[:limit]
        if _wants_table(request):
            body = _table(request, resource, items)
        else:
            body = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
            body["items"] = [events.shown(resource, obj) for obj in items]
        return _json(body | {"metadata": meta}, warnings=_warning(resource))

    def _snapshot(self, query: Mapping[str, str], info: RequestInfo) -> tuple[int, list[Object]]:
        wanted = query.get("resourceVersion", "")
        if wanted.isdigit() and int(wanted) > self.storage.revision:
            text = f"Too large resource version: {wanted}, current: {self.storage.revision}"
            details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
            raise ApiError(504, "Timeout", text, details=details, retry_after=1)
        matches = _matcher(query, info.resource)
        items = self.storage.items(info.resource.key, info.namespace)
        return self.storage.revision, [obj for obj in items if matches(obj)]

    def _page(self, token: str) -> tuple[int, list[Object]] | None:
        """The rest of a list by its continue token; 410 once its revision is compacted."""
        if not token:
            return None
        found = self._continues.pop(token, None)
        if found is None or found[0] < self.storage.compacted:
            text = "The provided continue parameter is too old to display a consistent list result."
            raise expired(text + " You can start a new list without the continue parameter.")
        return found

    def _remember(self, revision: int, items: list[Object]) -> str:
        token = base64.urlsafe_b64encode(f"{revision}:{len(self._continues)}:{len(items)}".encode()).decode()
        self._continues[token] = (revision, items)
        return token

    def _watch(self, request: Request, info: RequestInfo) -> Response:
        query, resource = request.query_params, info.resource
        watch = Watch(
            self.storage,
            resource,
            info.namespace,
            _matcher(query, resource),
            lambda obj: _shown(request, resource, obj),
            start(query, resource),
            float(query.get("timeoutSeconds") or WATCH_SECONDS),
            self.bookmark_seconds if query.get("allowWatchBookmarks") == "true" else None,
        )
        headers = _headers(_warning(resource))
        return StreamingResponse(self._flow(request, watch), media_type="application/json", headers=headers)

    async def _flow(self, request: Request, watch: Watch) -> AsyncIterator[bytes]:
        try:
            async for line in watch.lines():
                await self.flowing.wait()
                yield line
        except Cut:
            self._hang_up_on(request)

    def _hang_up_on(self, request: Request) -> None:
        if request.client is not None and self.hang_up is not None:
            self.hang_up((request.client.host, request.client.port))

    def _write(self, request: Request, info: RequestInfo, body: Any) -> Written:
        query = request.query_params
        write = Write(
            info.resource,
            info.namespace,
            info.name,
            body,
            info.subresource,
            dry_run=query.get("dryRun", "") == "All",
            field_validation=query.get("fieldValidation", "Ignore"),
            manager=query.get("fieldManager") or _agent(request),
            force=query.get("force", "") == "true",
        )
        match info.verb:
            case "create":
                return self.registry.create(write)
            case "update":
                return self.registry.update(write)
            case "patch":
                return self._patch(request, write)
            case _:
                return self.registry.delete(write)

    def _patch(self, request: Request, write: Write) -> Written:
        resource, query = write.resource, request.query_params
        content_type = request.headers.get("content-type", "").split(";")[0]
        if content_type != APPLY_PATCH:
            if query.get("force"):
                cause = forbidden("force", "may not be specified for non-apply patch")
                raise invalid("PatchOptions", "meta.k8s.io", "", cause)
            old = self.registry.read(resource, write.namespace, write.name)
            new = patched(events.shown(resource, old), write.body, content_type, custom=resource.custom)
            return self.registry.update(replace(write, body=new))
        if not resource.custom:
            text = "the playground has server-side apply for ExternalServices only: leave --server-side out"
            raise ApiError(415, "UnsupportedMediaType", text)
        if not query.get("fieldManager"):
            raise invalid("PatchOptions", "meta.k8s.io", "", required("fieldManager", "is required for apply patch"))
        return self.registry.apply(write)

    def _collect_soon(self) -> None:
        if self.gc_seconds is not None:
            timer = asyncio.get_running_loop().call_later(self.gc_seconds, garbage.collect, self.storage)
            self._timers = {one for one in self._timers if not one.cancelled()} | {timer}


async def _nothing(_verb: str, _resource: str, _actor: str) -> bool:
    return False


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "").split("/")[0].split(" ")[0] or "unknown"


async def _body(request: Request) -> Any:
    raw = await request.body()
    if len(raw) > BODY_LIMIT:
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {BODY_LIMIT}")
    if not raw:
        return {}
    try:
        if raw.startswith(protobuf.MAGIC):
            return protobuf.named_object(raw)
        if "yaml" in request.headers.get("content-type", ""):
            return yaml.safe_load(raw)
        return orjson.loads(raw)
    except (orjson.JSONDecodeError, yaml.YAMLError) as problem:
        raise bad_request(f"couldn't read the body: {problem}") from problem


def _matcher(query: Mapping[str, str], resource: Resource) -> Matcher:
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""), resource.fields)
    return lambda obj: labels(obj) and fields(obj)


def _wants_table(request: Request) -> bool:
    return "as=Table" in request.headers.get("accept", "")


def _table(request: Request, resource: Resource, items: Sequence[Object]) -> Object:
    return table(resource, items, now=datetime.now(UTC), include=request.query_params.get("includeObject", "Metadata"))


def _shown(request: Request, resource: Resource, obj: Object) -> Object:
    """One object as the client wants it: itself, or a Table with one row."""
    return _table(request, resource, [obj]) if _wants_table(request) else events.shown(resource, obj)


def _written(request: Request, info: RequestInfo, written: Written) -> Response:
    meta = written.object["metadata"]
    if info.verb != "delete" or meta.get("finalizers"):
        return _json(_shown(request, info.resource, written.object), written.code, written.warnings)
    details = about(info.resource, info.name) | {"uid": meta["uid"]}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return _json(body, warnings=written.warnings)


def _warning(resource: Resource) -> tuple[str, ...]:
    return (resource.warning,) if resource.warning else ()


def _headers(warnings: tuple[str, ...]) -> dict[str, str]:
    texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in texts)} if texts else {}


def _json(body: Object, code: int = 200, warnings: tuple[str, ...] = ()) -> Response:
    return Response(orjson.dumps(body), code, media_type="application/json", headers=_headers(warnings))


def _refused(refusal: ApiError) -> Response:
    response = _json(refusal.status(), refusal.code)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response

"""The HTTP face: a Starlette application that answers what an API server answers, out of a Storage and a Registry."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import yaml
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from playground.apiserver import discovery, events, garbage, protobuf
from playground.apiserver.audit import Audit
from playground.apiserver.audit import Request as Audited
from playground.apiserver.definition import Definition
from playground.apiserver.errors import ApiError, bad_request, expired
from playground.apiserver.patch import APPLY_PATCH, check, patched
from playground.apiserver.registry import Registry, WriteOptions, Written
from playground.apiserver.request import RequestInfo, request_info
from playground.apiserver.resources import Resource
from playground.apiserver.selectors import field_selector, label_selector
from playground.apiserver.storage import Storage
from playground.apiserver.table import table
from playground.apiserver.watch import Cut, stream, watch_options

Object = dict[str, Any]

HEALTH = ("/healthz", "/livez", "/readyz")
OPENAPI_V2 = "/openapi/v2"
OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
Before = Callable[[str, str, str], Awaitable[bool]]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
BODY_LIMIT = 3 * 1024 * 1024  # k8s.io/apiserver MaxRequestBodyBytes


class Api:
    """Everything behind the socket. Attributes are knobs that may be turned while it serves.

    `tokens`: token to user name; None lets everyone in and tells clients apart by their User-Agent.
    `gc_seconds`: how long dependents outlive their owner; None is a cluster without kube-controller-manager.
    `before` is called before each request, with verb, resource and actor; true loses the answer. `watch_list`: the
    feature gate. `bookmark_seconds`: how often an idle watch receives a bookmark.
    """

    def __init__(self, storage: Storage, registry: Registry, definitions: Mapping[tuple[str, str], Definition]) -> None:
        self.storage = storage
        self.registry = registry
        self.audit = Audit()
        self.before: Before = _nothing
        self.tokens: dict[str, str] | None = None
        self.gc_seconds: float | None = 0.05
        self.watch_list = True
        self.bookmark_seconds = 60.0
        self.flowing = asyncio.Event()  # cleared, watches stay open and say nothing: a black hole
        self.flowing.set()
        self.hang_up: Callable[[tuple[str, int] | None], int] | None = None
        self._definitions = definitions
        self._resources: list[Resource] = []
        self._documents: dict[str, Object] = {}
        self._continues: dict[str, tuple[int, list[Object]]] = {}
        self._timers: set[asyncio.TimerHandle] = set()

    def serve(self, resources: list[Resource]) -> Starlette:
        """The ASGI application for these resources."""
        self._resources = resources
        self._documents = discovery.documents(resources, self._definitions)
        return Starlette(routes=[Route("/{path:path}", self._endpoint, methods=METHODS)])

    def close(self) -> None:
        """Cancels what is still to come."""
        for timer in self._timers:
            timer.cancel()

    async def _endpoint(self, request: Request) -> Response:
        try:
            actor = self._actor(request)
            if request.url.path in HEALTH:
                return Response("ok", media_type="text/plain")
            if request.url.path == OPENAPI_V2:  # empty: kubectl asks it about kinds that are not in v3
                return Response(b"", media_type=OPENAPI_V2_TYPE)
            if document := self._documents.get(request.url.path.rstrip("/")):
                return _json(document)
            served = {(one.group, one.version, one.plural): one for one in self._resources}
            info = request_info(request.method, request.url.path, request.query_params, served)
        except ApiError as refusal:
            return _refused(refusal)
        return await self._audited(request, info, actor)

    async def _audited(self, request: Request, info: RequestInfo, actor: str) -> Response:
        changed = False
        try:
            lost = await self.before(info.verb, info.resource.plural, actor)
            response, changed = await self._answer(request, info)
            if lost:
                self._hang_up_on(request)
        except ApiError as refusal:
            response = _refused(refusal)
        except ClientDisconnect:
            response = Response(status_code=499)
        self._note(request, info, actor, response.status_code, changed)
        return response

    def _note(self, request: Request, info: RequestInfo, actor: str, code: int, changed: bool) -> None:
        agent = request.headers.get("user-agent", "")
        place = (info.resource.plural, info.subresource, info.namespace, info.name)
        self.audit.add(Audited(time.time(), actor, agent, info.verb, *place, code, changed, info.resource.group))

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
                return self._object(request, info.resource, obj), False
            case "list":
                return self._list(request, info), False
            case "watch":
                return self._watch(request, info), False
            case "deletecollection":
                return self._delete_collection(request, info), True
            case _:
                written = await self._write(request, info)
                if written.changed:
                    self._collect_soon()
                return self._written(request, info, written), written.changed

    def _object(self, request: Request, resource: Resource, obj: Object) -> Response:
        return _json(self._render(request, resource)(obj), warnings=_warning(resource))

    def _render(self, request: Request, resource: Resource) -> Callable[[Object], Object]:
        """One object as the client wants it: itself, or a Table with one row."""
        if "as=Table" not in request.headers.get("accept", ""):
            return partial(events.shown, resource)
        found, include = self._definitions.get(resource.key), request.query_params.get("includeObject", "Metadata")
        return lambda obj: table(resource, found, [obj], now=datetime.now(UTC), include=include)

    def _list(self, request: Request, info: RequestInfo) -> Response:
        query = request.query_params
        revision, items = self._page(query.get("continue", "")) or self._snapshot(query, info)
        limit = int(query.get("limit") or 0)
        meta: Object = {"resourceVersion": str(revision)}
        if limit and len(items) > limit:
            meta |= {"continue": self._remember(revision, items[limit:]), "remainingItemCount": len(items) - limit}
            items = items[:limit]
        resource = info.resource
        if "as=Table" in request.headers.get("accept", ""):
            found, include = self._definitions.get(resource.key), query.get("includeObject", "Metadata")
            body = table(resource, found, items, now=datetime.now(UTC), include=include) | {"metadata": meta}
        else:
            body = {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": meta,
                "items": [events.shown(resource, obj) for obj in items],
            }
        return _json(body, warnings=_warning(resource))

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
        """What a continue token represents; 410 once its revision is compacted."""
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
        options = watch_options(
            query,
            resource,
            info.namespace,
            _matcher(query, resource),
            gate=self.watch_list,
            every=self.bookmark_seconds,
        )
        lines = stream(self.storage, resource, options, self._render(request, resource))
        return StreamingResponse(
            self._flow(request, lines), media_type="application/json", headers=_headers(_warning(resource))
        )

    async def _flow(self, request: Request, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for line in lines:
                await self.flowing.wait()
                yield line
        except Cut:
            self._hang_up_on(request)

    def _hang_up_on(self, request: Request) -> None:
        if request.client is not None and self.hang_up is not None:
            self.hang_up((request.client.host, request.client.port))

    async def _write(self, request: Request, info: RequestInfo) -> Written:
        query, body = request.query_params, await _body(request)
        options = WriteOptions(
            query.get("dryRun", "") == "All",
            query.get("fieldValidation", "Ignore"),
            query.get("fieldManager") or _agent(request),
            query.get("force", "") == "true",
        )
        place = (info.resource, info.namespace)
        match info.verb:
            case "create":
                return self.registry.create(*place, body, options)
            case "update":
                return self.registry.update(*place, info.name, body, options=options, subresource=info.subresource)
            case "patch":
                return self._patch(request, info, body, options)
            case _:
                return self.registry.delete(*place, info.name, body or {}, dry_run=options.dry_run)

    def _patch(self, request: Request, info: RequestInfo, body: Any, options: WriteOptions) -> Written:
        content_type = request.headers.get("content-type", "").split(";")[0]
        check(content_type, body, request.query_params, custom=info.resource.custom)
        if content_type == APPLY_PATCH:
            place = (info.resource, info.namespace, info.name)
            return self.registry.apply(*place, body, options=options, subresource=info.subresource)
        old = self.registry.read(info.resource, info.namespace, info.name)
        new = patched(events.shown(info.resource, old), body, content_type)
        return self.registry.update(
            info.resource, info.namespace, info.name, new, options=options, subresource=info.subresource
        )

    def _delete_collection(self, request: Request, info: RequestInfo) -> Response:
        _, items = self._snapshot(request.query_params, info)
        for obj in items:
            meta = obj["metadata"]
            self.registry.delete(info.resource, meta.get("namespace", ""), meta["name"], {}, dry_run=False)
        self._collect_soon()
        return _json(_success(info, {}))

    def _written(self, request: Request, info: RequestInfo, written: Written) -> Response:
        if info.verb == "delete" and not written.object["metadata"].get("finalizers"):
            return _json(_success(info, written.object), warnings=written.warnings)
        body = self._render(request, info.resource)(written.object)
        return _json(body, written.code, written.warnings)

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


def _matcher(query: Mapping[str, str], resource: Resource) -> Callable[[Mapping[str, Any]], bool]:
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""), resource.fields)
    return lambda obj: labels(obj) and fields(obj)


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


def _success(info: RequestInfo, obj: Mapping[str, Any]) -> Object:
    details = {"name": info.name, "group": info.resource.group, "kind": info.resource.plural}
    details["uid"] = obj.get("metadata", {}).get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

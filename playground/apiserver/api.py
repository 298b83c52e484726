"""The HTTP side: a Starlette application that responds as an API server does, from a Storage and a Registry."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import yaml
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from playground.apiserver import builtin, discovery
from playground.apiserver.errors import ApiError, about, bad_request, forbidden, invalid, required
from playground.apiserver.patch import APPLY_PATCH, patched
from playground.apiserver.registry import Registry, Write, Written
from playground.apiserver.request import PROTOBUF, RequestInfo, named_object, request_info
from playground.apiserver.resources import SERVED, Resource
from playground.apiserver.selectors import Matcher, field_selector, label_selector
from playground.apiserver.storage import Audit, Audited, Storage
from playground.apiserver.table import table
from playground.apiserver.watch import Watch, start
from playground.values import Object

HEALTH = ("/healthz", "/livez", "/readyz")
OPENAPI_V2 = "/openapi/v2"
OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
BODY_LIMIT = 3 * 1024 * 1024  # k8s.io/apiserver MaxRequestBodyBytes
WATCH_SECONDS = 1800
GC_SECONDS = 0.05
"""How long dependents outlive their owner."""
MOST_PAGES = 64
"""Rests of lists that clients have not requested yet; the oldest goes first."""


class Api:
    """`app` is the ASGI application. Every client is let in, and is known by its User-Agent."""

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self.app = Starlette(routes=[Route("/{path:path}", self._endpoint, methods=METHODS)])
        self.storage = storage
        self.registry = registry
        self.audit = Audit()
        self._documents = discovery.documents(SERVED)
        self._pages: dict[str, tuple[int, Sequence[Object]]] = {}
        self._collecting: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Cancels a pending garbage collection."""
        if self._collecting is not None:
            self._collecting.cancel()

    async def _endpoint(self, request: Request) -> Response:
        path = request.url.path
        try:
            actor = self.actor(request)
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
        resource = info.resource
        try:
            response = await self.respond(request, info, actor)
        except ApiError as refusal:
            response = _refused(refusal)
        except ClientDisconnect:
            response = Response(status_code=499)
        place = (resource.group, resource.plural, info.subresource, info.namespace, info.name)
        self.audit.add(Audited(time.time(), actor, info.verb, *place, response.status_code))
        return response

    def actor(self, request: Request) -> str:
        """The user or program that sent a request; ApiError 401 for an unknown one."""
        return request.headers.get("user-agent", "").split("/")[0].split(" ")[0] or "unknown"

    async def respond(self, request: Request, info: RequestInfo, _actor: str) -> Response:
        """The response to a request for a resource."""
        match info.verb:
            case "get":
                obj = self.registry.read(info.resource, info.namespace, info.name)
                return _json(_shown(request, info.resource, obj), warnings=info.resource.warnings)
            case "list":
                return self._list(request, info)
            case "watch":
                return self._watch(request, info)
            case _:
                written = self._write(request, info, await _body(request))
                if written.changed:
                    self._collect_soon()
                return _written(request, info, written)

    def _list(self, request: Request, info: RequestInfo) -> Response:
        query, resource = request.query_params, info.resource
        revision, items = self._page(query["continue"]) if query.get("continue") else self._snapshot(query, info)
        limit, meta = int(query.get("limit") or 0), {"resourceVersion": str(revision)}
        if limit and len(items) > limit:
            meta["continue"] = f"{revision}-{len(self._pages)}-{len(items)}"
            self._pages[meta["continue"]] = revision, items[limit:]
            if len(self._pages) > MOST_PAGES:
                del self._pages[next(iter(self._pages))]
            items = items[:limit]
        if _wants_table(request):
            body = _table(request, resource, items)
        else:
            body = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
            body["items"] = [builtin.shown(resource, obj) for obj in items]
        return _json(body | {"metadata": meta}, warnings=resource.warnings)

    def _snapshot(self, query: Mapping[str, str], info: RequestInfo) -> tuple[int, Sequence[Object]]:
        wanted, revision = query.get("resourceVersion", ""), self.storage.revision
        if wanted.isdigit() and int(wanted) > revision:
            text = f"Too large resource version: {wanted}, current: {revision}"
            details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
            raise ApiError(504, "Timeout", text, details=details, retry_after=1)
        matches = _matcher(query, info.resource)
        return revision, [obj for obj in self.storage.items(info.resource.key, info.namespace) if matches(obj)]

    def _page(self, token: str) -> tuple[int, Sequence[Object]]:
        """The rest of a list; 410 for a token that is unknown or used."""
        found = self._pages.pop(token, None)
        if found is None:
            raise ApiError(410, "Expired", "The provided continue parameter is too old: start a new list without it.")
        return found

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
            query.get("allowWatchBookmarks") == "true",
        )
        headers = _headers(resource.warnings)
        lines = self.stream(request, watch)
        return StreamingResponse(lines, media_type="application/json", headers=headers)

    def stream(self, _request: Request, watch: Watch) -> AsyncIterator[bytes]:
        """The body of a watch."""
        return watch.lines()

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
            manager=query.get("fieldManager") or self.actor(request),
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
            new = patched(builtin.shown(resource, old), write.body, content_type, custom=resource.custom)
            return self.registry.update(replace(write, body=new))
        if not resource.custom:
            text = "the playground has server-side apply for ExternalServices only: leave --server-side out"
            raise ApiError(415, "UnsupportedMediaType", text)
        if not query.get("fieldManager"):
            raise invalid("PatchOptions", "meta.k8s.io", "", required("fieldManager", "is required for apply patch"))
        return self.registry.apply(write)

    def _collect_soon(self) -> None:
        if self._collecting is None:
            self._collecting = asyncio.get_running_loop().call_later(GC_SECONDS, self._collect)

    def _collect(self) -> None:
        self._collecting = None
        self.storage.collect_garbage()


async def _body(request: Request) -> Any:
    raw = await request.body()
    if len(raw) > BODY_LIMIT:
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {BODY_LIMIT}")
    if not raw:
        return {}
    try:
        if raw.startswith(PROTOBUF):
            return named_object(raw)
        if "yaml" in request.headers.get("content-type", ""):
            return yaml.safe_load(raw)
        return orjson.loads(raw)
    except (orjson.JSONDecodeError, yaml.YAMLError) as problem:
        raise bad_request(f"couldn't read the body: {problem}") from problem


def _matcher(query: Mapping[str, str], resource: Resource) -> Matcher:
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""), resource)
    return lambda obj: labels(obj) and fields(obj)


def _wants_table(request: Request) -> bool:
    return "as=Table" in request.headers.get("accept", "")


def _table(request: Request, resource: Resource, items: Sequence[Object]) -> Object:
    return table(resource, items, now=datetime.now(UTC), include=request.query_params.get("includeObject", "Metadata"))


def _shown(request: Request, resource: Resource, obj: Object) -> Object:
    """One object as the client wants it: itself, or a Table with one row."""
    return _table(request, resource, [obj]) if _wants_table(request) else builtin.shown(resource, obj)


def _written(request: Request, info: RequestInfo, written: Written) -> Response:
    meta = written.object["metadata"]
    if info.verb != "delete" or meta.get("finalizers"):
        return _json(_shown(request, info.resource, written.object), written.code, written.warnings)
    details = about(info.resource, info.name) | {"uid": meta["uid"]}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return _json(body, warnings=written.warnings)


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

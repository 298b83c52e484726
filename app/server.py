"""The hook over HTTP: POST /sync for Metacontroller, health, and metrics on a port of their own. A FastAPI application.

A response is either complete, or not a 200 with the reason in `{"error": ...}`: Metacontroller shows it in an Event
(R5).
"""

import json
import logging
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from time import perf_counter
from typing import Any

import orjson
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.routing import APIRoute
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from app.credentials import Tokens, bearer
from app.documentation import PAGE_METHODS, DescribedHook, add_docs
from app.hook import CompositeHookRequest, CompositeHookResponse, InvalidRequest, read
from app.metrics import SyncMetrics
from app.settings import Settings
from app.summary import summary
from app.sync import SyncOptions, sync
from external_service.invalid import unknown_fields
from runtime import VERSION
from runtime.http_server import LAST
from runtime.logs import about

MAX_PROBLEMS = 20
MAX_PROBLEM_CHARACTERS = 1_000
BODIES = 8
"""Number of bodies of the maximum size that may be received at the same time."""

BYTES_FOR_CONTAINER = 32
BYTES_FOR_VALUE = 8
"""A body has at most one object or list for each 32 bytes of its limit, and one value for each 8: decoded, an empty
list takes 64 bytes and an object with one field 230. A sync with 1,000 addresses has one for each 60 of its bytes."""

ROUTES = "POST /sync, GET /healthz, GET /readyz"
PAGES_ROUTES = "GET /healthz, GET /readyz, GET /metrics"
DOCS_ROUTES = "GET /docs, GET /openapi.json"

YAML = re.compile(rb"\s*(---|#|[\w\"']+:)|.*\bapiVersion:", re.DOTALL)
AS_JSON = (
    "the body is YAML and has to be JSON: `external-service request CR.yaml` makes the sync request of a file "
    "(docs/hook.md)"
)
RAISE_LIMIT = "raise ESO_MAX_BODY_BYTES if the ExternalService is that large"
BEGINNING = 4_096
"""Bytes of a body that are looked at to see that it is YAML."""

WARNING_CHARACTERS = 400

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """Every response but a 200: the text says what is wrong and what to do."""

    error: str


def create_app(settings: Settings, metrics: SyncMetrics | None = None, tokens: Tokens | None = None) -> FastAPI:
    """The ASGI application of the hook. It keeps nothing but `metrics`, so all replicas respond alike.

    With `tokens`, each route requires one of them as a bearer token.
    """
    counted = metrics or SyncMetrics()
    options = sync_options(settings)
    bodies = Bodies(settings.max_body_bytes)

    app = DescribedHook(
        title="External Service Operator: sync hook",
        version=VERSION,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        dependencies=[] if tokens is None else [Depends(bearer(tokens))],
    )

    async def sync_hook(sent: Request) -> Response:
        """Answers Metacontroller's CompositeController sync hook."""
        # FastAPI's own body parameter has no limit, and refuses the Content-Type of `curl -d`.
        request = read(bodies.decoded(await bodies.receive(sent)))
        who, unknown = _who(request.parent), unknown_fields(request.parent)[:MAX_PROBLEMS]
        try:
            synced = sync(request, options, datetime.now(UTC))
            response = _response(synced)
        except InvalidRequest as invalid:
            invalid.problems += tuple(unknown)  # a misspelt field is often the cause
            logger.warning("sync of %s refused: %s", ascii(who), _text(invalid), extra=about(who))
            raise
        if unknown:
            logger.warning("sync of %s: %s", ascii(who), _line("; ".join(unknown)), extra=about(who))
            for field in unknown:
                response.headers.append("warning", _warning(field))
        if logger.isEnabledFor(logging.DEBUG):
            said = summary(request.parent, synced, options.policy)
            logger.debug("sync of %s: %s", ascii(who), _line(said), extra=about(who))
        return response

    app.router.add_api_route(
        "/sync",
        sync_hook,
        methods=["POST"],
        route_class_override=measured_route(counted),
        response_model=CompositeHookResponse,
        response_description="The status to keep and every desired child.",
        responses={status: {"model": Problem} for status in (400, 401, 413, 422, 500, 503)},
        openapi_extra={"requestBody": _REQUEST_BODY},
    )
    _add_health(app)
    if settings.docs:
        add_docs(app)
    _add_errors(app, f"{ROUTES}, {DOCS_ROUTES}" if settings.docs else ROUTES)
    app.add_exception_handler(InvalidRequest, _refuse_invalid)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)
    return app


def measured_route(metrics: SyncMetrics) -> type[APIRoute]:
    """A route whose requests are counted by how they end, authentication and body included."""

    class MeasuredRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def measured(request: Request) -> Response:
                started, outcome = perf_counter(), "failed"
                try:
                    response = await handle(request)
                    outcome = "ok"
                except HTTPException as error:
                    outcome = "unauthorized" if error.status_code == HTTPStatus.UNAUTHORIZED else "refused"
                    raise
                except InvalidRequest:
                    outcome = "refused"
                    raise
                except ClientDisconnect:
                    outcome = "gone"
                    raise
                finally:
                    metrics.note(outcome, perf_counter() - started)
                return response

            return measured

    return MeasuredRoute


def sync_options(settings: Settings) -> SyncOptions:
    """The part of the settings that changes responses."""
    return SyncOptions(
        policy=settings.policy,
        uncopied_annotations=settings.uncopied_annotations,
        snippet_annotations=settings.snippet_annotations,
        features=settings.features,
        form=settings.endpoints,
        scope=settings.scope,
    )


def create_pages(metrics: SyncMetrics) -> FastAPI:
    """Health and metrics, for a port of their own that clients of the hook need not reach."""
    pages = FastAPI(title="External Service Operator: pages", openapi_url=None, redirect_slashes=False)
    _add_health(pages)

    @pages.api_route("/metrics", methods=PAGE_METHODS)
    async def scraped() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    _add_errors(pages, PAGES_ROUTES)
    return pages


def _add_health(app: FastAPI) -> None:
    @app.api_route("/healthz", methods=PAGE_METHODS, include_in_schema=False)
    @app.api_route("/readyz", methods=PAGE_METHODS, include_in_schema=False)
    async def health() -> Response:
        return _json(200, {"status": "ok"})


def _add_errors(app: FastAPI, routes: str) -> None:
    app.state.routes = routes
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(Exception, _fail)


def too_large(limit: int) -> str:
    """Of a body with more than `limit` bytes."""
    return f"the body is larger than {limit} bytes: {RAISE_LIMIT}"


class Bodies:
    """Reads the bodies of requests; none is larger than `limit`, and all together take no more than BODIES of these."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    async def receive(self, request: Request) -> bytes:
        """One body; of a larger one only the limit is kept.

        The connection stays open and the server drops the rest as it comes: closed early, it would be reset under a
        client that still sends, and Go's (Metacontroller's) then often misses the answer and its text.
        """
        declared = request.headers.get("content-length", "").lstrip("0")[:20]
        if declared.isdecimal() and int(declared) > self._limit:
            raise self._too_large()
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                self._held += len(part)
                if len(body) > self._limit:
                    raise self._too_large()
                if self._held > BODIES * self._limit:
                    raise HTTPException(503, "too many large requests at the same time: send this one again later")
            return bytes(body)
        finally:
            self._held -= len(body)

    def decoded(self, body: bytes) -> object:
        """The JSON value in a body."""
        if not body:
            raise HTTPException(400, "the body is empty: send a Metacontroller sync request as JSON")
        if self._too_many(body, BYTES_FOR_CONTAINER, b"{", b"[") or self._too_many(body, BYTES_FOR_VALUE, b","):
            raise HTTPException(
                413, f"the body has more objects, lists or values than an ExternalService: {RAISE_LIMIT}"
            )
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            if YAML.match(body[:BEGINNING]):
                raise HTTPException(400, AS_JSON) from None
            raise HTTPException(400, f"the body is not JSON: {error}") from None

    def _too_many(self, body: bytes, size: int, *marks: bytes) -> bool:
        """Whether there are more of these characters than one for each `size` bytes of the limit."""
        most = self._limit // size
        return len(body) > most and sum(map(body.count, marks)) > most

    def _too_large(self) -> HTTPException:
        text = too_large(self._limit)
        logger.warning("request refused: %s", text)
        return HTTPException(413, text)


def _response(content: CompositeHookResponse) -> Response:
    """Raises InvalidRequest for a status that no API server stores: it is nested too deeply to be returned."""
    try:
        return _json(200, content)
    except TypeError:
        raise InvalidRequest("parent: it is nested more than 250 levels deep") from None


def _who(parent: dict[str, Any]) -> str:
    """namespace/name of a parent that has not been validated."""
    metadata = parent.get("metadata")
    if not isinstance(metadata, dict):
        return "an unnamed object"
    return f"{metadata.get('namespace')}/{metadata.get('name')}"[:320]


def _text(invalid: InvalidRequest) -> str:
    more = len(invalid.problems) - MAX_PROBLEMS
    shown = (problem[:MAX_PROBLEM_CHARACTERS] for problem in invalid.problems[:MAX_PROBLEMS])
    return "; ".join((*shown, *([f"and {more} more"] if more > 0 else [])))


def _line(text: str) -> str:
    """`text` without what would end a line of the log."""
    return ascii(text)[1:-1]


def _warning(text: str) -> str:
    """The value of a Warning header as the API server writes it: RFC 9111 dropped it, kubectl still shows it."""
    return f"299 - {json.dumps(text[:WARNING_CHARACTERS])}"


async def _refuse_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidRequest)  # noqa: S101 - registered for this class only
    return _json(422, {"error": _text(error)})


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for this class only
    if error.status_code in (401, 404, 405):
        request.scope.setdefault("state", {})[LAST] = True
    routes = request.app.state.routes
    texts = {404: f"no such path: this hook answers {routes}", 405: f"wrong method: this hook answers {routes}"}
    return _json(error.status_code, {"error": texts.get(error.status_code, error.detail)}, error.headers)


async def _nobody_listens(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _fail(_request: Request, error: Exception) -> Response:
    """A bug: Starlette raises it again after this response, and the server logs the traceback."""
    return _json(500, {"error": f"the hook failed on this request ({type(error).__name__}): see its log"})


def _json(status: int, content: Any, headers: Any = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


_REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": CompositeHookRequest.model_json_schema()}},
}

"""The hook over HTTP: POST /sync for Metacontroller, health, and metrics on a port of their own. A FastAPI application.

An answer is either complete or not a 200 and says why in `{"error": ...}`: Metacontroller shows it in an Event (R5).
"""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import perf_counter
from typing import Annotated, Any

import orjson
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from app.bearer import Tokens, bearer
from app.hook import CompositeHookRequest, CompositeHookResponse, InvalidRequest, read
from app.metrics import SyncMetrics
from app.settings import Settings
from app.sync import SyncOptions, sync
from runtime.http_server import LAST
from runtime.logs import about
from runtime.metrics import CONTENT_TYPE

MAX_PROBLEMS = 20
ROUTES = "POST /sync, GET /healthz, GET /readyz"

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """Every answer but a 200: the text says what is wrong and what to do."""

    error: str


def create_app(settings: Settings, metrics: SyncMetrics | None = None, tokens: Tokens | None = None) -> FastAPI:
    """The ASGI application of the hook. It keeps nothing but `metrics`, so any number of replicas answer alike.

    With `tokens`, each route asks for one of them as a bearer token.
    """
    counted = metrics or SyncMetrics()
    options = SyncOptions(settings.policy, settings.uncopied_annotations, settings.endpoints, settings.scope)

    async def measured() -> AsyncIterator[None]:
        """Counts a sync by how it ends."""
        started, outcome = perf_counter(), "failed"
        try:
            yield
            outcome = "ok"
        except (HTTPException, InvalidRequest):
            outcome = "refused"
            raise
        except ClientDisconnect:
            outcome = "gone"
            raise
        finally:
            counted.note(outcome, perf_counter() - started)

    async def sync_request(request: Request) -> CompositeHookRequest:
        """The request in the body, whatever its Content-Type: `curl -d` sends that of a form."""
        return read(_decoded(await _body(request, settings.max_body_bytes)))

    app = FastAPI(
        title="External Service Operator: sync hook",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[] if tokens is None else [Depends(bearer(tokens, counted.refuse))],
    )

    @app.post(
        "/sync",
        dependencies=[Depends(measured)],
        response_model=CompositeHookResponse,
        response_description="The status to keep and every desired child.",
        responses={status: {"model": Problem} for status in (400, 413, 422, 500)},
        openapi_extra={"requestBody": _REQUEST_BODY},
    )
    async def sync_hook(request: Annotated[CompositeHookRequest, Depends(sync_request)]) -> Response:
        """Answers Metacontroller's CompositeController sync hook."""
        try:
            return _json(200, sync(request, options, datetime.now(UTC)))
        except InvalidRequest as invalid:
            who = _who(request.parent)
            logger.warning("sync of %s refused: %s", ascii(who), _text(invalid), extra=about(who))
            raise

    _add_health(app)
    app.add_exception_handler(InvalidRequest, _refuse_invalid)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)
    app.add_exception_handler(Exception, _fail)
    return app


def create_pages(metrics: SyncMetrics) -> FastAPI:
    """Health and metrics, for a port of their own that clients of the hook need not reach."""
    pages = FastAPI(title="External Service Operator: pages", openapi_url=None, redirect_slashes=False)
    _add_health(pages)

    @pages.get("/metrics")
    async def scraped() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return pages


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    @app.get("/readyz", include_in_schema=False)
    async def health() -> Response:
        return _json(200, {"status": "ok"})


async def _body(request: Request, limit: int) -> bytes:
    """The request's body; of one that is too large no more than the limit is kept.

    The connection stays open and the server drops the rest as it comes: closed early, it would be reset under a client
    that still sends, and Go's (Metacontroller's) then often misses the answer and its text.
    """
    declared = request.headers.get("content-length", "").lstrip("0")[:20]
    body, fits = bytearray(), not declared.isdecimal() or int(declared) <= limit
    if fits:
        async for part in request.stream():
            body += part
            if len(body) > limit:
                fits = False
                break
    if not fits:
        text = f"the body is larger than {limit} bytes: raise ESO_MAX_BODY_BYTES if the ExternalService is that large"
        logger.warning("request refused: %s", text)
        raise HTTPException(413, text)
    return bytes(body)


def _decoded(body: bytes) -> object:
    if not body:
        raise HTTPException(400, "the body is empty: send a Metacontroller sync request as JSON")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None


def _who(parent: dict[str, Any]) -> str:
    """namespace/name of a parent that has not been validated."""
    metadata = parent.get("metadata")
    if not isinstance(metadata, dict):
        return "an unnamed object"
    return f"{metadata.get('namespace')}/{metadata.get('name')}"[:320]


def _text(invalid: InvalidRequest) -> str:
    more = len(invalid.problems) - MAX_PROBLEMS
    return "; ".join((*invalid.problems[:MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])))


async def _refuse_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidRequest)  # noqa: S101 - registered for this class only
    return _json(422, {"error": _text(error)})


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for this class only
    if error.status_code in (401, 404, 405):
        request.scope.setdefault("state", {})[LAST] = True
    texts = {404: f"no such path: this hook answers {ROUTES}", 405: f"wrong method: this hook answers {ROUTES}"}
    return _json(error.status_code, {"error": texts.get(error.status_code, error.detail)}, error.headers)


async def _nobody_listens(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _fail(_request: Request, error: Exception) -> Response:
    """A bug: Starlette raises it again after this answer, and the server logs the traceback."""
    return _json(500, {"error": f"the hook failed on this request ({type(error).__name__}): see its log"})


def _json(status: int, content: Any, headers: Any = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


_REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": CompositeHookRequest.model_json_schema()}},
}

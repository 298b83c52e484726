"""The hook over HTTP: POST /sync for Metacontroller, health, and metrics apart. The only module that knows FastAPI.

An answer is either complete or not a 200 and says why in `{"error": ...}`: Metacontroller shows it in an Event.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.bearer import Application, Bearer, Tokens
from app.hook import InvalidRequest, read
from app.metrics import CONTENT_TYPE, SyncMetrics
from app.recall import Quick
from app.settings import Settings
from app.sync import SyncOptions, sync
from runtime.logs import about

MAX_PROBLEMS = 20
ROUTES = "POST /sync, GET /healthz, GET /readyz"

logger = logging.getLogger(__name__)


def create_app(settings: Settings, metrics: SyncMetrics | None = None, tokens: Tokens | None = None) -> FastAPI:
    """The ASGI application. Any number of replicas answer alike: what it keeps, beside `metrics`, changes no answer.

    With `tokens`, only requests that carry one are looked at.
    """
    counted = metrics or SyncMetrics()
    options = SyncOptions(settings.policy, settings.uncopied_annotations, settings.endpoints, settings.scope)
    quick = Quick(options)

    async def sync_hook(request: Request) -> Response:
        with _measured(counted):
            body = await _body(request, settings.max_body_bytes)
            now = datetime.now(UTC)
            given = quick.answer(body, now) or orjson.dumps(_answer(_decoded(body), options, now))
            return _Json(given)

    app = _Hook(sync_hook, tokens, counted.refuse)
    app.post("/sync", openapi_extra={"requestBody": _REQUEST_BODY}, responses=_RESPONSES)(sync_hook)
    _add_health(app)
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)
    return app


class _Hook(FastAPI):
    """FastAPI, but for the one busy route: the way through routing and middleware takes as long as its answer."""

    def __init__(
        self, sync_hook: Callable[[Request], Awaitable[Response]], tokens: Tokens | None, on_refused: Callable[[], None]
    ) -> None:
        super().__init__(title="External Service Operator: sync hook", openapi_url=None, redirect_slashes=False)
        self._sync_hook = sync_hook
        self._shortcut: Application = self._sync
        if tokens is not None:
            self.add_middleware(Bearer, tokens=tokens, on_refused=on_refused)
            self._shortcut = Bearer(self._sync, tokens, on_refused)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["path"] == "/sync" and scope["method"] == "POST":
            await self._shortcut(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _sync(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the route would do, errors included."""
        request = Request(scope, receive)
        try:
            answer = await self._sync_hook(request)
        except Exception as error:
            expected = next((known for known in (HTTPException, ClientDisconnect) if isinstance(error, known)), None)
            answer = await _HANDLERS[expected or Exception](request, error)
            await answer(scope, receive, send)
            if expected is None:
                raise  # the server logs the traceback
        else:
            await answer(scope, receive, send)


def create_pages(metrics: SyncMetrics) -> FastAPI:
    """Health and metrics, for a port of their own: what stands there is not for whoever reaches the hook."""
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


@contextmanager
def _measured(metrics: SyncMetrics) -> Iterator[None]:
    started, outcome = perf_counter(), "failed"
    try:
        yield
        outcome = "ok"
    except HTTPException:
        outcome = "refused"
        raise
    except ClientDisconnect:
        outcome = "gone"
        raise
    finally:
        metrics.note(outcome, perf_counter() - started)


def _answer(body: object, options: SyncOptions, now: datetime) -> Any:
    try:
        return sync(read(body), options, now)
    except InvalidRequest as invalid:
        shown = invalid.problems[:MAX_PROBLEMS]
        more = len(invalid.problems) - len(shown)
        text = "; ".join((*shown, f"and {more} more") if more else shown)
        who = _who(body)
        logger.warning("sync of %s refused: %s", ascii(who) if who else "an unnamed object", text, extra=about(who))
        raise HTTPException(422, text) from None


async def _body(request: Request, limit: int) -> bytes:
    """The request's body; of one that is too large no more than the limit is kept.

    The connection stays open and the server drops the rest as it comes: closed early, it would be reset under a client
    that still sends, and Go's (Metacontroller's) then often misses the answer and its text.
    """
    declared = next((value for name, value in request.scope["headers"] if name == b"content-length"), b"")
    parts, left, more = [], limit, not declared.isdigit() or int(declared) <= limit
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        left -= len(parts[-1])
        if left < 0:
            break
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
    text = f"the body is larger than {limit} bytes: raise ESO_MAX_BODY_BYTES if this ExternalService is really so large"
    logger.warning("request refused: %s", text)
    raise HTTPException(413, text)


def _decoded(body: bytes) -> object:
    if not body:
        raise HTTPException(400, "the body is empty: send a Metacontroller sync request as JSON")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None


def _who(body: object) -> str:
    """namespace/name of the parent, from a body that may be anything; empty if it has none."""
    parent = body.get("parent") if isinstance(body, dict) else None
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    if not isinstance(metadata, dict):
        return ""
    return f"{metadata.get('namespace')}/{metadata.get('name')}"[:320]


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    texts = {404: f"no such path: this hook answers {ROUTES}", 405: f"wrong method: this hook answers {ROUTES}"}
    return _json(error.status_code, {"error": texts.get(error.status_code, error.detail)}, error.headers)


async def _nobody_listens(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _fail(_request: Request, error: Exception) -> Response:
    """A bug of ours: Starlette raises it again after this answer, and the server logs the traceback."""
    return _json(500, {"error": f"the hook failed on this request ({type(error).__name__}); its log tells more"})


class _Json(Response):
    """A 200 with these bytes."""

    def __init__(self, body: bytes) -> None:  # the base's own takes as long as all else of a response
        self.status_code, self.body, self.background = 200, body, None
        length = str(len(body)).encode()
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json")]


_HANDLERS: Final[dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]] = {
    HTTPException: _refuse,
    ClientDisconnect: _nobody_listens,
    Exception: _fail,
}


def _json(status: int, content: Any, headers: Any = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


_ERROR = {
    "description": "Refused; the text says why and what to do.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    },
}
_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["parent"],
                "properties": {
                    "parent": {"type": "object", "description": "The ExternalService."},
                    "children": {"type": "object", "description": "Owned objects by kind and version, then by name."},
                    "finalizing": {"type": "boolean", "description": "Never true: there is no finalize hook."},
                },
            }
        }
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The status to keep and every desired child.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["status", "children"],
                    "properties": {
                        "status": {"type": "object"},
                        "children": {"type": "array", "items": {"type": "object"}},
                        "resyncAfterSeconds": {"type": "number"},
                    },
                }
            }
        },
    },
    **dict.fromkeys((400, 413, 422, 500), _ERROR),
}

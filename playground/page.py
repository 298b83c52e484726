"""The prober's page for people, with buttons that switch the backends: the prober's own pages, and POST /backends."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from playground.backends import Mode
from playground.stack import Playground
from probe_sidecar.web import HEADERS, page_files

CONTROLS: Final = Path(__file__).with_name("controls.js")

SCRIPT: Final = '<script src="page.js" defer></script>'

STARTING: Final = "the prober is starting, or was just killed"


class Switch(BaseModel):
    """The request of a button. `seconds` is how long a slow backend takes."""

    model_config = ConfigDict(extra="forbid")

    ip: str
    mode: Mode
    seconds: Annotated[float, Field(gt=0, le=60)] | None = None


def application(playground: Playground) -> Starlette:
    """The pages, only under the names of this machine, so that no other site's script can use the buttons."""

    async def forwarded(request: Request) -> Response:
        try:
            answer = await playground.read_page(request.url.path, request.url.query)
        except httpx.TransportError:
            return PlainTextResponse(f"{STARTING}\n", 503)
        overview = request.url.path == "/overview" and answer.is_success
        body = _with_backends(answer.json(), playground) if overview else answer.content
        return Response(body, answer.status_code, HEADERS, answer.headers["content-type"])

    async def switch(request: Request) -> Response:
        if request.headers.get("content-type") != "application/json":
            return PlainTextResponse("write content-type: application/json\n", 415)
        try:
            asked = Switch.model_validate_json(await request.body())
            await playground.backends.set(asked.ip, asked.mode, asked.seconds)
        except ValidationError as problem:
            return PlainTextResponse(f"{problem}\n", 422)
        except (LookupError, OSError) as problem:
            return PlainTextResponse(f"{problem}\n", 409)
        playground.journal.add(f"you made the backend of {asked.ip} {described(asked.mode, asked.seconds)}")
        return PlainTextResponse(f"{described(asked.mode, asked.seconds)}\n")

    files = [Route(path, _file(page({}).body, page({}).content_type)) for path, page in page_files().items()]
    read = [Route(path, forwarded) for path in ("/overview", "/status", "/status.txt", "/metrics")]
    added = [Route("/controls.js", _file(CONTROLS.read_text(encoding="utf-8"), "text/javascript; charset=utf-8"))]
    added += [Route("/backends", switch, methods=["POST"])]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=[*files, *read, *added], middleware=[hosts])


def described(mode: Mode, seconds: float | None = None) -> str:
    """A mode in words."""
    return f"slow ({seconds:g} s)" if mode is Mode.SLOW and seconds is not None else str(mode)


def _file(text: Any, kind: str) -> Any:
    shown = text.replace(SCRIPT, f'{SCRIPT}\n<script src="controls.js" defer></script>')

    async def served(_request: Request) -> Response:
        return Response(shown, 200, HEADERS, kind)

    return served


def _with_backends(document: dict[str, Any], playground: Playground) -> str:
    for service in document["externalServices"]:
        for address in service.get("shown", ()):
            if backends := playground.backends.at(address["ip"]):
                address["backend"] = described(backends[0].mode, backends[0].slow_seconds)
    return json.dumps(document)

"""`/docs` and `/openapi.json`: the hook's own description, with requests to try. No foreign host is involved.

Like every path they need the token where there is one. A browser sends none: the page is for a hook without tokens,
such as one on the reader's own machine.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response

ASSETS = Path(__file__).parent / "swagger_ui"
SAMPLES = Path(__file__).parent / "samples" / "sync"
RECORDED = ".answer.json"
PAGE_METHODS = ["GET", "HEAD"]
"""FastAPI, unlike Starlette, does not add HEAD to GET; load balancers check health with it."""

SHOWN = ("favicon-32x32.png", "initialize.js", "swagger-ui-bundle.js", "swagger-ui.css")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Sample(NamedTuple):
    """A request of `samples/sync`, and the hook's response."""

    name: str
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def status(self) -> int:
        """Of the response."""
        return 422 if "error" in self.response else 200


class DescribedHook(FastAPI):
    """A FastAPI application whose OpenAPI document describes the sync request by the CRD, and has `samples` in it."""

    def openapi(self) -> dict[str, Any]:
        """Made at the first request."""
        if self.openapi_schema is None:
            _describe(super().openapi()["paths"]["/sync"]["post"])
        described: dict[str, Any] = super().openapi()
        return described


def samples() -> Iterator[Sample]:
    """By name."""
    for path in sorted(SAMPLES.glob("*.json")):
        if not path.name.endswith(RECORDED):
            response = json.loads(path.with_name(path.stem + RECORDED).read_text(encoding="utf-8"))
            yield Sample(path.stem, json.loads(path.read_text(encoding="utf-8")), response)


def add_docs(app: FastAPI) -> None:
    """Add `/openapi.json`, and `/docs`, the page that shows it and sends requests."""

    @app.api_route("/openapi.json", methods=PAGE_METHODS, include_in_schema=False)
    async def document() -> Response:
        return JSONResponse(app.openapi())

    @app.api_route("/docs", methods=PAGE_METHODS, include_in_schema=False)
    async def page() -> Response:
        return FileResponse(ASSETS / "index.html", headers=HEADERS)

    @app.api_route("/docs/{name}", methods=PAGE_METHODS, include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in SHOWN:
            raise HTTPException(404)
        return FileResponse(ASSETS / name, headers=HEADERS)


def _describe(operation: dict[str, Any]) -> None:
    from external_service.crd import parent_schema  # noqa: PLC0415 - YAML and the schema, for readers of /docs only

    body, every = operation["requestBody"]["content"]["application/json"], list(samples())
    body["schema"]["properties"]["parent"] = parent_schema()
    body["examples"] = {one.name: {"summary": one.name.replace("-", " "), "value": one.request} for one in every}
    for one in every:
        content = operation["responses"][str(one.status)]["content"]["application/json"]
        content.setdefault("examples", {})[one.name] = {"value": one.response}

"""The hook over HTTP: an invalid request gets an error with a message, never a 200."""

import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.hook import NOT_AN_OBJECT, TO_WRAP
from app.server import AS_JSON, create_app
from app.settings import Settings
from external_service.invalid import unknown_fields
from external_service.kind import KIND
from external_service.v1alpha1 import ONE_OF_PORTS
from tests.cases import cases
from tests.parents import raw_parent

JSON = {"content-type": "application/json"}
NOT_JSON, NOT_UTF_8 = "the body is not JSON", "str is not valid UTF-8: surrogates not allowed"
TOO_LARGE = "the body is larger than 1024 bytes: raise ESO_MAX_BODY_BYTES if the ExternalService is that large"
ROUTES = "this hook answers POST /sync, GET /healthz, GET /readyz, GET /docs, GET /openapi.json"
PARENT = raw_parent(metadata={"annotations": {"a": "b"}}, ips=["10.0.0.1"], hosts=[{"host": "a.io"}])


def client(settings: Settings | None = None) -> httpx.AsyncClient:
    app = create_app(settings or Settings(max_body_bytes=1024))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://hook")


@cases(
    "body status error",
    ("empty", b"", 400, "the body is empty: send a Metacontroller sync request as JSON"),
    ("not JSON", b"port=80", 400, f"{NOT_JSON}: unexpected character, expected a JSON value: line 1 column 1 (char 0)"),
    ("YAML", b"# mine\nspec: {port: 80}", 400, AS_JSON),
    ("YAML by curl -d, on one line", b"--- apiVersion: v1kind: Pod", 400, AS_JSON),
    ("not UTF-8", b'"\xff"', 400, f"{NOT_JSON}: {NOT_UTF_8}: line 1 column 1 (char 0)"),
    ("a list", b"[]", 422, NOT_AN_OBJECT),
    ("a bare object", b'{"kind": "ExternalService", "spec": {}}', 422, TO_WRAP),
    ("too large", b" " * 1025, 413, TOO_LARGE),
)
async def test_invalid_sync_request_is_refused_with_a_message(body: bytes, status: int, error: str) -> None:
    async with client() as hook:
        response = await hook.post("/sync", content=body, headers=JSON)
    assert (response.status_code, response.json()) == (status, {"error": error})
    assert response.headers["content-type"] == "application/json"


@cases(
    "method path status error",
    ("wrong method", "GET", "/sync", 405, "wrong method"),
    ("health is asked with GET", "POST", "/healthz", 405, "wrong method"),
    ("metrics have another port", "GET", "/metrics", 404, "no such path"),
    ("unknown path", "GET", "/", 404, "no such path"),
    ("no redirect", "POST", "/sync/", 404, "no such path"),
    ("not a file of the page", "GET", "/docs/..", 404, "no such path"),
)
async def test_other_paths_and_methods_are_refused(method: str, path: str, status: int, error: str) -> None:
    async with client() as hook:
        response = await hook.request(method, path)
    assert (response.status_code, response.json()) == (status, {"error": f"{error}: {ROUTES}"})


async def test_streamed_body_is_read_up_to_the_limit() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 600
            yield b" " * 600

    async with client() as hook:
        response = await hook.post("/sync", content=endless())
    assert response.status_code == 413
    assert sent == 1200


async def test_declared_length_above_the_limit_is_refused_unread() -> None:
    read = False

    async def small() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"{}"

    async with client() as hook:
        response = await hook.post("/sync", content=small(), headers={"content-length": "50000000"})
    assert (response.status_code, read) == (413, False)


async def test_body_of_exactly_the_limit_is_accepted() -> None:
    async with client() as hook:
        assert (await hook.post("/sync", content=b" " * 1024)).status_code == 400


async def test_number_of_reported_problems_is_bounded() -> None:
    hosts = [{"host": f"-{number}"} for number in range(30)]
    async with client(Settings()) as hook:
        response = await hook.post("/sync", json={"parent": {**PARENT, "spec": {"port": 80, "hosts": hosts}}})
    problems = response.json()["error"].split("; ")
    assert (len(problems), problems[-1]) == (21, "and 10 more")


async def test_exception_is_a_500_without_children() -> None:
    broken: Any = (1,)
    async with client(Settings().model_copy(update={"uncopied_annotations": broken})) as hook:
        response = await hook.post("/sync", json={"parent": PARENT})
    assert (response.status_code, response.json()) == (
        500,
        {"error": "the hook failed on this request (TypeError): see its log"},
    )


async def test_refused_sync_is_one_log_line_and_a_good_one_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="app")
    async with client() as hook:
        await hook.post("/sync", json={"parent": PARENT})
        assert [record.message for record in caplog.records if record.name.startswith("app")] == []
        response = await hook.post("/sync", json={"parent": {**PARENT, "spec": {"prt": 80}}})
    (misspelt,) = unknown_fields({"kind": KIND, "spec": {"prt": 80}})
    assert response.json() == {"error": f"spec.port: {ONE_OF_PORTS}; {misspelt}"}
    assert [record.message for record in caplog.records if record.name.startswith("app")] == [
        f"sync of 'shop/api' refused: spec.port: {ONE_OF_PORTS}; {misspelt}"
    ]


async def test_answered_sync_is_one_line_of_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="app")
    async with client() as hook:
        await hook.post("/sync", json={"parent": PARENT})
    (line,) = (record.message for record in caplog.records if record.name.startswith("app"))
    assert line == (
        "sync of 'shop/api': made: Service api, Endpoints api, EndpointSlice api-ipv4-0, Ingress api; ready: 10.0.0.1"
    )


async def test_unknown_fields_in_log_and_headers_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="app")
    spec = {"port": 80} | {f"x\r\n\x7f{number}" + "y" * 10_000: 1 for number in range(300)}
    async with client(Settings()) as hook:
        response = await hook.post("/sync", json={"parent": {**PARENT, "spec": spec}})
    warnings = response.headers.get_list("warning")
    assert (response.status_code, len(warnings)) == (200, 20)
    assert all(re.fullmatch(r'299 - "[ -~]{1,500}"', one) for one in warnings)
    (line,) = (record.message for record in caplog.records if record.name.startswith("app"))
    assert "\n" not in line
    assert len(line) < 10_000


async def test_object_name_cannot_forge_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    forged = {**PARENT, "metadata": {"name": "x\nERROR all is lost", "namespace": "shop"}}
    async with client() as hook:
        await hook.post("/sync", json={"parent": forged})
    (message,) = (record.getMessage() for record in caplog.records if record.name == "app.server")
    assert "\n" not in message


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
async def test_pages_are_served_to_head(path: str) -> None:
    async with client() as hook:
        assert (await hook.head(path)).status_code == 200


async def test_openapi_describes_the_sync_route() -> None:
    async with client() as hook:
        described = (await hook.get("/openapi.json")).json()
    assert {path: sorted(methods) for path, methods in described["paths"].items()} == {"/sync": ["post"]}
    assert sorted(described["paths"]["/sync"]["post"]["responses"]) == ["200", "400", "401", "413", "422", "500", "503"]

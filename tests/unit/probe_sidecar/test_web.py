"""The prober's pages, over a real socket."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from probe_sidecar.web import SLICE_SECONDS, Page, PageServer, health, page_files
from tests.cases import cases

PATIENCE = 10.0

PROBLEM: list[str] = []
TEXT = "text/plain; charset=utf-8"


def pieces() -> Iterator[str]:
    """Pieces of a page, each with the number of turns of the event loop since the first."""
    turns = list[None]()
    for _ in range(3):
        asyncio.get_running_loop().call_soon(turns.append, None)
        time.sleep(SLICE_SECONDS)
        yield f"{len(turns)} größer\n"


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    PROBLEM.clear()
    pages = {
        "/readyz": health(lambda: PROBLEM[0] if PROBLEM else None),
        "/status": lambda query: Page(200, "{}", "application/json"),
        "/long": lambda query: Page(200, pieces()),
        "/echo": lambda query: Page(200, str(query)),
    }
    server = PageServer(pages, host="127.0.0.1", port=0)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.request(method, url)
    return response.status_code, response.text, response.headers["content-type"]


@cases(
    "path problem expected",
    ("a healthy process", "/readyz", "", (200, "ok\n", TEXT)),
    ("an unhealthy process says why", "/readyz", "because", (503, "because\n", TEXT)),
    ("another content type", "/status", "", (200, "{}", "application/json")),
    ("unknown", "/metricz", "", (404, "no such page: there are /echo, /long, /readyz, /status\n", TEXT)),
)
async def test_pages(base_url: str, path: str, problem: str, expected: tuple[int, str, str]) -> None:
    PROBLEM.extend([problem] if problem else [])
    assert await get(f"{base_url}{path}") == expected


@cases(
    "asked read",
    ("none", "", "{}"),
    ("the last one wins", "?name=a%20b&ip=2001:db8::1&name=c", "{'name': 'c', 'ip': '2001:db8::1'}"),
    ("empty values", "?x&y=", "{'x': '', 'y': ''}"),
    ("bytes that are no text", "?a=%ff&=%zz", "{'a': '\ufffd', '': '%zz'}"),
)
async def test_page_gets_the_query(base_url: str, asked: str, read: str) -> None:
    assert (await get(f"{base_url}/echo{asked}"))[:2] == (200, read)


async def test_page_in_pieces_gives_the_loop_its_turn(base_url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", f"{base_url}/long") as response:
        assert response.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in response.headers
        assert (await response.aread()).decode() == "0 größer\n1 größer\n2 größer\n"
    assert (await get(f"{base_url}/long", "HEAD"))[:2] == (200, "")


async def test_other_methods_are_refused(base_url: str) -> None:
    assert (await get(f"{base_url}/readyz", "POST"))[0] == 405


async def test_page_files_have_a_content_security_policy() -> None:
    server = PageServer(page_files(), host="127.0.0.1", port=0)
    server.start()
    policies = set()
    async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{server.port}") as client:
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
            response = await client.get(path)
            assert (response.status_code, response.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
            assert response.headers["x-content-type-options"] == "nosniff"
            policies.add(response.headers["content-security-policy"])
    await server.stop()
    assert policies == {
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }

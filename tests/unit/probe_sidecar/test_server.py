"""The sidecar's own HTTP face, over a real socket."""

from collections.abc import AsyncIterator

import httpx
import pytest

from probe_sidecar.server import Answer, PageServer, health

PROBLEM: list[str] = []


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    PROBLEM.clear()
    pages = {
        "/readyz": health(lambda: PROBLEM[0] if PROBLEM else None),
        "/status": lambda query: Answer(200, "{}", "application/json"),
        "/echo": lambda query: Answer(200, str(query)),
    }
    server = PageServer(pages, host="127.0.0.1", port=0)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def get(url: str, method: str = "GET") -> tuple[int, str, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.request(method, url)
    return answer.status_code, answer.text, answer.headers["content-type"]


async def test_healthy(base_url: str) -> None:
    assert await get(f"{base_url}/readyz") == (200, "ok\n", "text/plain; charset=utf-8")


async def test_unhealthy_says_why(base_url: str) -> None:
    PROBLEM.append("the first list of ExternalServices has not arrived yet")
    assert await get(f"{base_url}/readyz") == (
        503,
        "the first list of ExternalServices has not arrived yet\n",
        "text/plain; charset=utf-8",
    )


async def test_another_page_keeps_its_type(base_url: str) -> None:
    assert await get(f"{base_url}/status") == (200, "{}", "application/json")


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        pytest.param("", "{}", id="none"),
        pytest.param("?name=a%20b&ip=2001:db8::1&name=c", "{'name': 'c', 'ip': '2001:db8::1'}", id="the last one wins"),
        pytest.param("?x&y=", "{'x': '', 'y': ''}", id="empty values"),
        pytest.param("?a=%ff&=%zz", "{'a': '\ufffd', '': '%zz'}", id="bytes that are no text"),
    ],
)
async def test_a_page_is_given_the_query(base_url: str, asked: str, read: str) -> None:
    assert (await get(f"{base_url}/echo{asked}"))[:2] == (200, read)


async def test_head_has_no_body(base_url: str) -> None:
    assert await get(f"{base_url}/status", "HEAD") == (200, "", "application/json")


async def test_an_unknown_page_names_those_that_there_are(base_url: str) -> None:
    assert await get(f"{base_url}/metricz") == (
        404,
        "no such page; there are /echo, /readyz, /status\n",
        "text/plain; charset=utf-8",
    )


async def test_other_methods_are_refused(base_url: str) -> None:
    assert (await get(f"{base_url}/readyz", "POST"))[0] == 405


async def test_a_taken_port_is_an_error_at_start(base_url: str) -> None:
    with pytest.raises(OSError, match="in use"):
        PageServer({}, host="127.0.0.1", port=int(base_url.rsplit(":", 1)[1])).start()

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from probe_sidecar.kube.client import KubeClient, Resource, Selection, connect
from probe_sidecar.kube.credentials import Access, Token, bearer, plain_url, tls_context
from probe_sidecar.kube.errors import ApiError
from tests.cases import cases

CRS = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")
COLLECTION = "/apis/eso.crowdfox.com/v1alpha1/externalservices"
ONE = {"metadata": {"name": "web", "uid": "1", "resourceVersion": "7"}}


def scripted(*responses: httpx.Response | Exception) -> tuple[KubeClient, list[httpx.Request]]:
    """A client with scripted responses, and its requests."""
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        response = responses[len(requests) - 1]
        if isinstance(response, Exception):
            raise response
        return response

    return KubeClient(httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://api/front")), requests


def page(*names: str, more: str | None = None, version: str = "9") -> httpx.Response:
    metadata = {"resourceVersion": version} | ({"continue": more} if more else {})
    return httpx.Response(200, json={"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]})


def status(code: int, reason: str) -> httpx.Response:
    return httpx.Response(code, json={"kind": "Status", "reason": reason, "message": "why"})


async def test_list_is_read_page_by_page() -> None:
    client, requests = scripted(page("a", "b", more="t1"), page("c", more="t2"), page("d"))
    objects, version = await client.list(Selection(CRS))
    assert [item["metadata"]["name"] for item in objects] == ["a", "b", "c", "d"]
    assert version == "9"
    assert [request.url.raw_path.decode() for request in requests] == [
        f"/front{COLLECTION}?limit=50",
        f"/front{COLLECTION}?limit=50&continue=t1",
        f"/front{COLLECTION}?limit=50&continue=t2",
    ]


async def test_null_items_are_an_empty_list() -> None:
    client, _ = scripted(httpx.Response(200, json={"metadata": {"resourceVersion": "9"}, "items": None}))
    assert await client.list(Selection(CRS)) == ([], "9")


@cases(
    "fault expected",
    ("409", status(409, "Conflict"), (409, "Conflict", "why")),
    ("302", httpx.Response(302, headers={"location": "http://other"}), (302, "Garbage", "empty body")),
    ("refused", httpx.ConnectError("refused"), (0, "Unreachable", "ConnectError: refused")),
    ("no connection in time", httpx.ConnectTimeout(""), (0, "Unreachable", "ConnectTimeout")),
    ("cut short", httpx.RemoteProtocolError("cut"), (0, "Unreachable", "RemoteProtocolError: cut")),
    ("silence", httpx.ReadTimeout(""), (0, "Timeout", "the API server stopped responding")),
)
async def test_failures_are_api_errors(fault: httpx.Response | Exception, expected: Any) -> None:
    client, requests = scripted(fault)
    with pytest.raises(ApiError) as raised:
        await client.get(CRS, "shop", "web")
    assert (raised.value.status, raised.value.reason, raised.value.message) == expected
    assert len(requests) == 1, "no retry in here"


class Chunks(httpx.AsyncByteStream):
    """A body that arrives in these pieces."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


async def watched(client: KubeClient) -> list[bytes]:
    async with aclosing(client.watch(Selection(CRS), "7", seconds=1, idle=1)) as lines:
        return [line async for line in lines]


async def test_watch_lines_are_reassembled() -> None:
    client, _ = scripted(httpx.Response(200, stream=Chunks(b'{"a"', b":1}\n{", b'"b":2}\n{"c":3}\n', b'{"cut')))
    assert await watched(client) == [b'{"a":1}', b'{"b":2}', b'{"c":3}'], "a line without its end is dropped"


async def test_watch_line_ends_at_newline_only() -> None:
    """JSON may contain U+0085 and U+2028 unescaped; httpx's own line splitter would cut there."""
    line = '{"a":"x\x85y\u2028z\x1c"}'.encode()
    client, _ = scripted(httpx.Response(200, stream=Chunks(line + b"\n")))
    assert await watched(client) == [line]


async def test_endless_watch_line_is_refused() -> None:
    client, _ = scripted(httpx.Response(200, stream=Chunks(*[b"x" * 1_000_000] * 18)))
    with pytest.raises(ApiError, match="longer than 8388608 bytes"):
        await watched(client)


@cases(
    "response reason",
    ("forbidden", status(403, "Forbidden"), "Forbidden"),
    ("silence", httpx.Response(200, stream=Chunks(b"", httpx.ReadTimeout(""))), "Timeout"),
    ("reset", httpx.Response(200, stream=Chunks(b"", httpx.ReadError("reset"))), "Unreachable"),
)
async def test_watch_failures(response: httpx.Response, reason: str) -> None:
    client, _ = scripted(response)
    with pytest.raises(ApiError) as raised:
        await watched(client)
    assert raised.value.reason == reason


# -- over real sockets -------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def body(content: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n%s" % (len(content), content)


async def test_request_on_the_wire(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/dev/null")
    seen: list[bytes] = []

    async def exchange(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(body(b'{"metadata":{}}'))

    async with serve(exchange) as url:
        client = connect(Access(url, tls_context(), Token(lambda: bearer("secret", "test"))))
        for _ in range(2):
            await client.patch(CRS, "shop", "web", [{"op": "remove", "path": "/status"}], "status")
        await client.close()
    lines = seen[0].decode().split("\r\n")
    host = lines[1]
    assert lines == [
        "PATCH /apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices/web/status HTTP/1.1",
        host,
        "Connection: keep-alive",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "User-Agent: external-service-prober",
        "Content-Type: application/json-patch+json",
        "Content-Length: 34",
        "Authorization: Bearer secret",
        "",
        '[{"op":"remove","path":"/status"}]',
    ]
    assert len(seen) == 2


async def test_deadline_includes_a_slow_response(serve: Callable[..., Any]) -> None:
    async def exchange(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(exchange) as url:
        client = connect(plain_url(url), 0.2)
        with pytest.raises(ApiError) as raised:
            await client.get(CRS, "shop", "web")
        await client.close()
    assert (raised.value.status, raised.value.reason) == (0, "Timeout")


async def test_watches_do_not_block_requests(serve: Callable[..., Any]) -> None:
    """With a watch for each of 150 namespaces a status can still be written."""

    async def exchange(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"watch=true" not in request:
            writer.write(OK + b"Content-Length: 2\r\n\r\n{}")
            return
        writer.write(OK + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"a":1}\n\r\n')
        await asyncio.sleep(60)

    async with serve(exchange) as url:
        client = connect(plain_url(url))
        watches = [client.watch(Selection(CRS, f"n{number}"), "7", seconds=60, idle=60.0) for number in range(150)]
        async with asyncio.timeout(30):  # a pool that is full says so long before
            assert await asyncio.gather(*(anext(lines) for lines in watches)) == [b'{"a":1}'] * 150
            assert await client.patch(CRS, "n1", "web", [], "status") == {}
        for lines in watches:
            await lines.aclose()
        await client.close()


@cases(
    "case",
    ("the address is on the certificate", (None, True, True)),
    ("tls-server-name is on the certificate", ("api.test", True, True)),
    ("tls-server-name is not on the certificate", ("other.test", True, False)),
    ("an authority we don't know", (None, False, False)),
)
async def test_server_certificate_is_verified(
    serve: Callable[..., Any], tls_server: ssl.SSLContext, certificate: str, case: tuple[str | None, bool, bool]
) -> None:
    server_name, trusted, works = case

    async def exchange(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(body(json.dumps(ONE).encode()))

    async with serve(exchange, ssl=tls_server) as url:
        client = connect(Access(url, tls_context(certificate if trusted else None), server_name=server_name))
        if works:
            assert await client.get(CRS, "shop", "web") == ONE
        else:
            with pytest.raises(ApiError, match="certificate verify failed"):
                await client.get(CRS, "shop", "web")
        await client.close()

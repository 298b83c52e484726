"""A front: an HTTP proxy on loopback whose faults a test controls."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from playground.processes import free_ports
from playground.serving import LoopbackServer
from probe_sidecar.kube.kubeconfig import kubeconfig

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
BY_THE_WAY = {b"host", b"connection", b"content-length", b"transfer-encoding"}
"""Headers of a connection, which are not forwarded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response instead of a forwarded one."""

    code: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Front(LoopbackServer):
    """`answer` is the response instead of forwarding; `answered` counts those by code.

    While `flowing` is cleared, watches stay open and send nothing. A request without credentials gets those of the
    kubeconfig, because client-go sends no token without TLS.
    """

    def __init__(self, upstream: httpx.AsyncClient, auth: httpx.Auth | None = None) -> None:
        (port,) = free_ports(1)
        super().__init__(Starlette(routes=[Route("/{path:path}", self._endpoint, methods=METHODS)]), port)
        self.answer: Answer | None = None
        self.answered: Counter[int] = Counter()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._upstream = upstream
        self._auth = auth

    @classmethod
    def of_hook(cls, url: str) -> Self:
        """In front of a server without authentication."""
        return cls(_client(base_url=url))

    @classmethod
    def of_api_server(cls, file: Path) -> Self:
        """In front of the API server of a kubeconfig."""
        access = kubeconfig(file)
        return cls(_client(base_url=access.server, verify=access.tls), access.auth)

    def kubeconfig(self, file: Path, directory: Path) -> Path:
        """A copy of `file` with the URL of the front."""
        config = json.loads(file.read_text())
        config["clusters"][0]["cluster"] = {"server": self.url}
        fronted = directory / f"{file.stem}-front.kubeconfig"
        fronted.write_text(json.dumps(config))
        return fronted

    async def close(self) -> None:
        """Stops for good, and closes the client."""
        await self.stop()
        await self._upstream.aclose()

    async def _endpoint(self, request: Request) -> Response:
        body = await request.body()
        if self.answer is not None:
            self.answered[self.answer.code] += 1
            return Response(self.answer.body, self.answer.code, self.answer.headers)
        try:
            answer = await self._upstream.send(
                self._request(request, body),
                stream=True,
                auth=None if "authorization" in request.headers else self._auth,
            )
        except httpx.TransportError as broken:
            self._break(request)
            raise ClientDisconnect from broken
        handed = StreamingResponse(self._chunks(request, answer), answer.status_code)
        handed.raw_headers = [(name, value) for name, value in answer.headers.raw if _whole(name)]
        return handed

    def _request(self, request: Request, body: bytes) -> httpx.Request:
        target = request.scope["raw_path"].decode() + ("?" + request.url.query if request.url.query else "")
        headers = [(name, value) for name, value in request.headers.raw if _whole(name)]
        return self._upstream.build_request(request.method, target, content=body, headers=headers)

    async def _chunks(self, request: Request, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                if request.query_params.get("watch"):
                    await self.flowing.wait()
                yield chunk
        except httpx.TransportError:
            self._break(request)
        finally:
            await answer.aclose()

    def _break(self, request: Request) -> None:
        """A broken connection behind the proxy breaks the one before it."""
        if request.client is not None:
            self.hang_up((request.client.host, request.client.port))


def _whole(name: bytes) -> bool:
    return name.lower() not in BY_THE_WAY


def _client(**options: object) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    return httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(30, read=None), limits=limits, **options)  # type: ignore[arg-type]  # base_url, verify

"""A front: an HTTP proxy on loopback whose faults a test controls."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

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


class Front(LoopbackServer):
    """It can be stopped, and started again. While `flowing` is cleared, watches stay open and send nothing.

    A request without credentials gets those of the kubeconfig, because client-go sends no token without TLS.
    """

    def __init__(self, file: Path) -> None:
        """In front of the API server of a kubeconfig."""
        (port,) = free_ports(1)
        super().__init__(Starlette(routes=[Route("/{path:path}", self._endpoint, methods=METHODS)]), port)
        self.flowing = asyncio.Event()
        self.flowing.set()
        access = kubeconfig(file)
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        self._auth = access.auth
        self._upstream = httpx.AsyncClient(
            base_url=access.server,
            verify=access.tls,
            limits=limits,
            timeout=httpx.Timeout(30, read=None),
            trust_env=False,
        )

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

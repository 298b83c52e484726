"""Certificates, and a loopback server that sends the bytes that a test scripts."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.controlplane.pki import Pki

Exchange = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def issued(pki: Pki) -> tuple[Path, Path]:
    """The files of a certificate for `api.test` and 127.0.0.1, and of its key."""
    return pki.issue("api", common_name="api.test", hosts=["api.test"], addresses=["127.0.0.1"])


@pytest.fixture(scope="session")
def certificate(pki: Pki) -> str:
    """Its authority."""
    return pki.ca_file.read_text()


@pytest.fixture
def tls_server(issued: tuple[Path, Path]) -> ssl.SSLContext:
    """The TLS context of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued)
    return context


@pytest.fixture
def serve() -> Serve:
    """A server on loopback; `exchange` responds to each request (head and body), or cuts the connection."""

    @asynccontextmanager
    async def server(exchange: Exchange, **options: object) -> AsyncIterator[str]:
        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while not writer.is_closing():
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = [
                        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
                    ]
                    await exchange(head + await reader.readexactly(sum(length)), writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        listening = await asyncio.start_server(connection, "127.0.0.1", 0, **options)  # type: ignore[arg-type] # ssl only
        port = listening.sockets[0].getsockname()[1]
        try:
            yield f"http{'s' if options.get('ssl') else ''}://127.0.0.1:{port}"
        finally:
            listening.close()

    return server

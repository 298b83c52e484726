"""A certificate, and a loopback server that sends the bytes that a test scripts."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PLAIN_PEM = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()

Exchange = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def pair() -> tuple[str, str]:
    """A self-signed certificate for `api.test` and 127.0.0.1, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.test")])
    names = x509.SubjectAlternativeName([x509.DNSName("api.test"), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(*PLAIN_PEM).decode()


@pytest.fixture(scope="session")
def other_key() -> str:
    """A key that belongs to no certificate."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*PLAIN_PEM).decode()


@pytest.fixture(scope="session")
def certificate(pair: tuple[str, str]) -> str:
    return pair[0]


@pytest.fixture
def tls_server(tmp_path: Path, pair: tuple[str, str]) -> ssl.SSLContext:
    """The TLS context of a server with that certificate."""
    for name, content in zip(("crt", "key"), pair, strict=True):
        (tmp_path / name).write_text(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
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

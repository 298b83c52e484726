"""Certificates that are renewed while the server runs, and clients that need one; with OpenSSL on both sides."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from app.credentials import ServerTls, UnusableFile
from app.metrics import SyncMetrics
from tests.cases import cases
from tests.e2e.controlplane.pki import Pki

PATIENCE = 10.0

SOON = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)


class Files(NamedTuple):
    certificate: Path
    key: Path
    client_ca: Path | None = None


class Site:
    """The files of the server and of its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.one, self.two = Pki(folder / "one"), Pki(folder / "two")
        self.files = Files(folder / "tls.crt", folder / "tls.key")
        self.install(self.one)

    @property
    def mutual(self) -> Files:
        shutil.copy(self.one.ca_file, self.folder / "ca.crt")
        return Files(self.files.certificate, self.files.key, self.folder / "ca.crt")

    def install(self, pki: Pki) -> None:
        certificate, key = pki.issue("server", common_name="hook", addresses=["127.0.0.1"])
        shutil.copy(certificate, self.files.certificate)
        shutil.copy(key, self.files.key)


def client(trusted: Pki, identity: Pki | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(trusted.ca_file))
    if identity is not None:
        context.load_cert_chain(*identity.issue("client", common_name="metacontroller"))
    return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@asynccontextmanager
async def serving(files: Files) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=ServerTls(*files).context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def echoed(port: int, context: ssl.SSLContext, server_hostname: str | None = None) -> bytes:
    """The response; raises SSLError or ConnectionError if a side refuses the other."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=server_hostname)
        try:
            writer.write(b"hello\n")
            return await reader.readline()
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def admitted(port: int, context: ssl.SSLContext) -> bool:
    """With TLS 1.3 a client learns of its refusal only after its own side of the handshake is done."""
    try:
        return await echoed(port, context) == b"hello\n"
    except (ssl.SSLError, ConnectionError):
        return False


async def test_renewed_certificate_is_served_to_new_connections(site: Site) -> None:
    async with serving(site.files) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client(site.one))
        with pytest.raises(ssl.SSLCertVerificationError):
            await echoed(port, client(site.two))
        site.install(site.two)
        assert await echoed(port, client(site.two)) == b"hello\n"
        assert await echoed(port, client(site.two), "localhost") == b"hello\n"
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        writer.close()


async def test_mismatched_pair_is_ignored_until_it_matches(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(site.files) as port:
        certificate, key = site.two.issue("server", common_name="hook", addresses=["127.0.0.1"])
        shutil.copy(certificate, site.files.certificate)
        for _ in range(3):
            assert await echoed(port, client(site.one)) == b"hello\n"
        assert len(caplog.messages) == 1
        assert "certificate: unchanged" in caplog.text
        shutil.copy(key, site.files.key)
        assert await echoed(port, client(site.two)) == b"hello\n"


async def test_client_needs_a_certificate_of_the_newest_ca(site: Site) -> None:
    files = site.mutual
    assert files.client_ca is not None
    async with serving(files) as port:
        assert await echoed(port, client(site.one, site.one)) == b"hello\n"
        assert not await admitted(port, client(site.one))
        shutil.copy(site.two.ca_file, files.client_ca)
        assert await echoed(port, client(site.one, site.two)) == b"hello\n"
        assert not await admitted(port, client(site.one, site.one))


async def test_old_tls_versions_are_refused(site: Site) -> None:
    old = client(site.one)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with serving(site.files) as port:
        assert not await admitted(port, old)


@cases(
    "break_it words",
    ("no certificate", "certificate", "No such file"),
    ("another key", "key", "no usable PEM"),
    ("no CA", "client_ca", "no usable PEM"),
)
def test_unusable_files_are_named_at_start(site: Site, break_it: str, words: str) -> None:
    files = site.mutual
    if break_it == "certificate":
        files.certificate.unlink()
    elif break_it == "key":
        shutil.copy(site.two.issue("other", common_name="other")[1], files.key)
    else:
        (site.folder / "ca.crt").write_text("words")
    with pytest.raises(UnusableFile, match=words):
        ServerTls(*files)


def test_expiry_of_the_newest_certificate_is_reported(tmp_path: Path) -> None:
    pki = Pki(tmp_path)

    def install(expires: datetime) -> Files:
        files = Files(*pki.issue("tls", common_name="hook", expires=expires))
        files.certificate.write_bytes(b"a comment\n" + files.certificate.read_bytes())
        return files

    served, metrics = ServerTls(*install(SOON)), SyncMetrics()
    metrics.certificate(served.expiry)
    assert b"\neso_certificate_expiry_timestamp_seconds 1.798761599e+09\n" in metrics.text()
    later = datetime(2050, 2, 3, 4, 5, 6, tzinfo=UTC)
    install(later)
    assert served.expiry() == later.timestamp()

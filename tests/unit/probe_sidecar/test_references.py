"""ConfigMaps and Secrets of the stand-in API server that probes name: read, kept, read again."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import CERT_REQUIRED, SSLContext
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from external_service.core import HTTPGetAction, Probe
from probe_sidecar.kube.client import connect
from probe_sidecar.kube.credentials import plain_url
from probe_sidecar.probes.prepare import Referenced
from probe_sidecar.probes.request import HttpRequest
from probe_sidecar.probes.tls import NO_CA_CERTIFICATES
from probe_sidecar.probes.url import Url
from probe_sidecar.references import (
    LARGEST,
    MOST_OF_A_NAMESPACE,
    SMALL,
    Content,
    Parts,
    Reference,
    References,
    Unusable,
    content,
    references,
)
from tests.cases import cases
from tests.faults import Fault, FaultyServer
from tests.unit.probe_sidecar.probes.servers import bundle, server_context
from tests.until import beside, until

PATIENCE = 10.0
SECRET = Reference("CA", "Secret", "shop", "ca", ("ca.crt",))
CONFIG_MAP = SECRET._replace(kind="ConfigMap")
CLIENT = Reference("client certificate", "Secret", "shop", "ca", ("tls.crt", "tls.key"))
HEADER = Reference("header", "Secret", "shop", "ca", ("token",))
LOST = "its addresses are not probed until it is there"
KEPT = "the last good one is still used"
NO_CA = f"has no valid CA in key ca.crt: {NO_CA_CERTIFICATES}"


def probe(**tls: Any) -> Probe:
    return Probe.model_validate({"httpGet": {"port": 443, "scheme": "HTTPS", "tls": tls}})


FROM_SECRET, FROM_CONFIG_MAP = probe(caSecret={"name": "ca"}), probe(caConfigMap={"name": "ca"})


@pytest.fixture
def pem(tmp_path: Path) -> str:
    server_context(tmp_path, "one.example")
    return bundle(tmp_path, "one.example")


def pair(folder: Path, name: str) -> tuple[bytes, bytes]:
    """A key and its certificate."""
    server_context(folder, name)
    key, begin, certificate = (folder / f"{name}.pem").read_bytes().partition(b"-----BEGIN CERTIFICATE")
    return key, begin + certificate


def sealed(key: bytes) -> bytes:
    """The same key, encrypted."""
    form = serialization.PrivateFormat.PKCS8
    whole = serialization.load_pem_private_key(key, None)
    return whole.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"pass"))


def weak() -> bytes:
    """A key that is too short."""
    key = rsa.generate_private_key(65_537, 1_024)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def secret(text: str | bytes, key: str = "ca.crt") -> dict[str, Any]:
    data = {key: b64encode(text.encode() if isinstance(text, str) else text).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca", "namespace": "shop"}, "data": data}


def config_map(text: str) -> dict[str, Any]:
    metadata = {"name": "ca", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": text}}


async def replace(server: FaultyServer, body: dict[str, Any] | None, plural: str = "secrets") -> None:
    path = f"/api/v1/namespaces/shop/{plural}/ca"
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        response = await (client.delete(path) if body is None else client.put(path, json=body))
    response.raise_for_status()


class Watched:
    """A running store that counts its notifications."""

    def __init__(self, store: References) -> None:
        self.store, self.changes = store, 0

    def reference_changed(self) -> None:
        self.changes += 1

    def message(self, asked: Probe) -> str:
        """Message of the condition now."""
        problem = self.store.problem(references("shop", asked))
        return problem.message if problem else ""

    def referenced(self, asked: Probe) -> Referenced | str:
        return self.store.referenced(references("shop", asked))

    async def problem(self, asked: Probe, text: str) -> None:
        """Wait for this problem."""
        await until(lambda: self.message(asked) == text)

    async def problem_of(self, one: Reference) -> None:
        """Wait for any problem."""
        await until(lambda: self.store.problem([(one,)]) is not None)

    async def context(self, asked: Probe, other_than: object = None) -> SSLContext:
        """Wait for a context."""
        await until(lambda: self.held(asked) not in (None, other_than))
        found = self.held(asked)
        assert found is not None
        return found

    def held(self, asked: Probe) -> SSLContext | None:
        found = self.referenced(asked)
        return None if isinstance(found, str) else found.context


@asynccontextmanager
async def running(
    server: FaultyServer, *wanted: Reference, refresh: float = 0.05, room: int = MOST_OF_A_NAMESPACE
) -> AsyncIterator[Watched]:
    client = connect(plain_url(server.url))
    store = References(client, refresh=refresh, room=room)
    watched = Watched(store)
    for one in wanted:
        store.use((one,), watched.reference_changed)
    try:
        async with beside(store.run()):
            yield watched
    finally:
        await client.close()


TOKEN = {"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "ca", "key": "token"}}}


@cases(
    "asked found",
    ("no-probe", None, ()),
    ("no-tls", {"httpGet": {"port": 1}}, ()),
    ("secret", {"grpc": {"port": 1, "tls": {"caSecret": {"name": "ca"}}}}, ((SECRET,),)),
    ("config-map", {"grpc": {"port": 1, "tls": {"caConfigMap": {"name": "ca"}}}}, ((CONFIG_MAP,),)),
    (
        "all-of-them-once",
        {
            "httpGet": {
                "port": 1,
                "scheme": "HTTPS",
                "tls": {"caSecret": {"name": "b", "key": "k"}, "clientCertificateSecret": {"name": "ca"}},
                "httpHeaders": [{"name": "X-A", "value": "a"}, TOKEN, TOKEN],
            }
        },
        ((SECRET._replace(name="b", keys=("k",)), CLIENT), (HEADER,)),
    ),
)
def test_references_of_a_probe(asked: Any, found: tuple[Parts, ...]) -> None:
    assert references("shop", Probe.model_validate(asked) if asked else None) == found


@cases(
    "asked wanted",
    ("secret", FROM_SECRET, SECRET),
    ("config-map", FROM_CONFIG_MAP, CONFIG_MAP),
)
async def test_ca_is_read_and_reported_once(server: FaultyServer, pem: str, asked: Probe, wanted: Reference) -> None:
    server.create(secret(pem))
    server.create(config_map(pem))
    async with running(server, wanted) as watched:
        assert watched.referenced(asked) == f"{wanted}: not read yet"
        assert watched.message(asked) == ""
        context = await watched.context(asked)
        assert context.cert_store_stats()["x509"] == 1
        await asyncio.sleep(0.2)  # some readings later
        assert watched.held(asked) is context
        assert watched.changes == 1


@cases(
    "body problem",
    ("missing", None, "not found: create it, or correct the name"),
    ("another key", secret("x", "tls.crt"), "has no key ca.crt: add it, or correct the probe"),
    ("no PEM", secret("nothing"), NO_CA),
    ("no text", secret(b"\xff"), NO_CA),
)
async def test_invalid_ca_is_reported_and_the_last_one_kept(
    server: FaultyServer, pem: str, body: dict[str, Any] | None, problem: str
) -> None:
    if body is not None:
        server.create(body)
    async with running(server, SECRET) as watched:
        await watched.problem(FROM_SECRET, f"Secret shop/ca: {problem}; {LOST}")
        assert watched.referenced(FROM_SECRET) == f"Secret shop/ca: {problem}"
        if body is None:
            server.create(secret(pem))
        else:
            await replace(server, secret(pem))
        context = await watched.context(FROM_SECRET)
        await watched.problem(FROM_SECRET, "")
        await replace(server, body)
        await watched.problem(FROM_SECRET, f"Secret shop/ca: {problem}; {KEPT}")
        assert watched.held(FROM_SECRET) is context


async def test_missing_permission_is_reported_with_the_manifest(server: FaultyServer, pem: str) -> None:
    server.create(secret(pem))
    server.faults.add(Fault(verbs=frozenset({"get"}), code=403))
    async with running(server, SECRET) as watched:
        text = "not readable: the prober needs a Role, see docs/security.md"
        await watched.problem(FROM_SECRET, f"Secret shop/ca: {text}; {LOST}")


async def test_api_server_outage_keeps_a_known_ca(server: FaultyServer, pem: str) -> None:
    server.create(secret(pem))
    async with running(server, SECRET) as watched:
        context = await watched.context(FROM_SECRET)
        server.faults.add(Fault(verbs=frozenset({"get"}), code=503))
        await asyncio.sleep(0.3)
        assert watched.held(FROM_SECRET) is context
        assert watched.message(FROM_SECRET) == ""
        assert watched.changes == 1


async def test_api_server_outage_without_a_ca_is_reported(server: FaultyServer) -> None:
    server.faults.add(Fault(verbs=frozenset({"get"}), code=503))
    async with running(server, SECRET) as watched:
        await until(lambda: watched.changes > 0)
        assert watched.message(FROM_SECRET).startswith(
            "Secret shop/ca: not read: the API server returned ServiceUnavailable; "
        )


async def test_ca_requested_later_is_read_at_once(server: FaultyServer, pem: str) -> None:
    server.create(secret(pem))
    async with running(server, refresh=86_400) as watched:
        await asyncio.sleep(0.05)
        watched.store.use((SECRET,), watched.reference_changed)
        assert watched.referenced(FROM_SECRET) == "Secret shop/ca: not read yet"
        await watched.context(FROM_SECRET)


async def test_every_namespace_has_its_turn(server: FaultyServer, pem: str) -> None:
    many = [SECRET._replace(namespace="greedy", name=f"ca-{number}") for number in range(1_000)]
    server.create(secret(pem))
    async with running(server, *many, refresh=86_400) as watched:
        await watched.problem_of(many[0])
        watched.store.use((SECRET,), watched.reference_changed)
        await watched.context(FROM_SECRET)
        assert watched.store.problem([(many[100],)]) is None, "not read yet"


async def test_large_bundles_are_bounded_each_and_by_namespace(server: FaultyServer, pem: str) -> None:
    bundle = pem * 20
    assert len(bundle) > SMALL
    server.create(secret(bundle))
    server.create(config_map("-"))
    async with running(server, SECRET, room=len(bundle)) as watched:
        context = await watched.context(FROM_SECRET)
        watched.store.use((CONFIG_MAP,), watched.reference_changed)
        text = f"finds no room: all that the probes of a namespace name may have {len(bundle)} bytes together"
        await watched.problem(FROM_CONFIG_MAP, f"ConfigMap shop/ca: {text}; {LOST}")
        assert watched.held(FROM_SECRET) is context
    await replace(server, secret("-" * (LARGEST + 1)))
    async with running(server, SECRET) as watched:
        text = f"has more than {LARGEST} bytes: leave out what the probe does not need"
        await watched.problem(FROM_SECRET, f"Secret shop/ca: {text}; {LOST}")


async def test_ca_and_client_certificate_are_one_context(server: FaultyServer, tmp_path: Path) -> None:
    key, chain = pair(tmp_path, "one.example")
    both = (CONFIG_MAP, CLIENT)
    asked = probe(caConfigMap={"name": "ca"}, clientCertificateSecret={"name": "ca"})
    server.create(config_map(chain.decode()))
    async with running(server) as watched:
        watched.store.use(both, watched.reference_changed)
        await watched.problem(asked, f"Secret shop/ca: not found: create it, or correct the name; {LOST}")
        whole = secret(chain, "tls.crt")
        whole["data"]["tls.key"] = b64encode(key).decode()
        server.create(whole)
        context = await watched.context(asked)
        assert (context.verify_mode, context.cert_store_stats()["x509"]) == (CERT_REQUIRED, 1)
        assert watched.changes == 2


HTTP = Probe.model_validate({"httpGet": {"port": 80, "httpHeaders": [TOKEN]}})
BAD_HEADER = "has no valid header value in key token: write one line of 1 to 8192 bytes without control characters"


@cases(
    "value sent",
    ("text", b"s3cret", "s3cret"),
    ("line break at its end", b" s3cret\r\n", "s3cret"),
    ("bytes as they are", "ü".encode(), "\xc3\xbc"),
    ("longest", b"x" * 8_192, "x" * 8_192),
    ("longer", b"x" * 8_193, None),
    ("empty", b"\n", None),
    ("two headers", b"a\r\nX-Evil: b", None),
    ("NUL", b"a\0b", None),
)
async def test_header_from_a_secret(server: FaultyServer, value: bytes, sent: str | None) -> None:
    server.create(secret(value, "token"))
    async with running(server, HEADER) as watched:
        if sent is None:
            await watched.problem(HTTP, f"Secret shop/ca: {BAD_HEADER}; {LOST}")
            return
        await until(lambda: watched.referenced(HTTP) == Referenced(None, {("ca", "token"): sent}))


async def test_client_certificate(tmp_path: Path) -> None:
    key, chain = pair(tmp_path, "client.example")
    other, _ = pair(tmp_path, "other.example")
    found = await content((CLIENT,), [(chain, key)])
    assert found.context is not None
    assert found.context.check_hostname is False
    assert sealed(key) != key
    for values in ((chain, other), (chain, sealed(key)), (b"", key), (chain, b""), (key, chain), (chain, weak())):
        with pytest.raises(Unusable) as refused:
            await content((CLIENT,), [values])
        assert str(refused.value).startswith("has no valid client certificate: tls.crt and tls.key are not ")
        assert not any(line in str(refused.value) for part in values for line in part.decode().split("\n") if line)


def test_contents_are_in_no_text() -> None:
    held = Content(b"s3cret", 6, header="s3cret")
    assert "s3cret" not in f"{held!r}{Referenced(None, {('a', 'b'): 's3cret'})!r}"
    assert "headers" not in repr(HttpRequest(HTTPGetAction(port=80), "127.0.0.1", Url(), "", (("X-Token", "s3cret"),)))

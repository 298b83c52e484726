"""CAs from ConfigMaps and Secrets of the stand-in API server: read, held, read again; problems told, never evidence."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Any

import httpx
import pytest

from external_service.core import Probe
from probe_sidecar.ca_bundles import CABundles, Reference, reference
from probe_sidecar.kube.client import connect
from probe_sidecar.kube.credentials import plain_url
from tests.faults import Fault, FaultyServer
from tests.unit.probe_sidecar.probes.servers import server_context

PATIENCE = 10.0
SECRET, CONFIG_MAP = Reference("Secret", "shop", "ca", "ca.crt"), Reference("ConfigMap", "shop", "ca", "ca.crt")
LOST = "its addresses are not probed until it is there"
KEPT = "the last good CA is still used"
NO_CA = "has no valid CA in key ca.crt: holds no CA certificates in PEM form"


def probe(**tls: Any) -> Probe:
    return Probe.model_validate({"httpGet": {"port": 443, "scheme": "HTTPS", "tls": tls}})


FROM_SECRET, FROM_CONFIG_MAP = probe(caSecret={"name": "ca"}), probe(caConfigMap={"name": "ca"})


@pytest.fixture
def pem(tmp_path: Path) -> str:
    return made(tmp_path, "one.example")


def made(folder: Path, name: str) -> str:
    server_context(folder, name)
    text = (folder / f"{name}.pem").read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(loopback=True) as server:
        yield server


def secret(text: str | bytes, key: str = "ca.crt") -> dict[str, Any]:
    data = {key: b64encode(text.encode() if isinstance(text, str) else text).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca", "namespace": "shop"}, "data": data}


def config_map(text: str) -> dict[str, Any]:
    metadata = {"name": "ca", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": text}}


async def replace(server: FaultyServer, body: dict[str, Any] | None, plural: str = "secrets") -> None:
    path = f"/api/v1/namespaces/shop/{plural}/ca"
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        answer = await (client.delete(path) if body is None else client.put(path, json=body))
    answer.raise_for_status()


def of(asked: Probe) -> Reference:
    found = reference("shop", asked)
    assert found is not None
    return found


class Watched:
    """A running store, and how often it has notified."""

    def __init__(self, store: CABundles) -> None:
        self.store, self.changes = store, 0

    def ca_changed(self) -> None:
        self.changes += 1

    def message(self, asked: Probe) -> str:
        """What the condition would say now."""
        problem = self.store.problem(of(asked))
        return problem.message if problem else ""

    async def problem(self, asked: Probe, text: str) -> None:
        """Wait until that is the problem."""
        async with asyncio.timeout(PATIENCE):
            while self.message(asked) != text:
                await asyncio.sleep(0.01)

    async def context(self, asked: Probe, other_than: object = None) -> SSLContext:
        """Wait for a context."""
        async with asyncio.timeout(PATIENCE):
            while not isinstance(found := self.store.context(of(asked)), SSLContext) or found is other_than:
                await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def running(
    server: FaultyServer, *wanted: Reference, kinds: tuple[str, ...] = ("ConfigMap", "Secret"), refresh: float = 0.05
) -> AsyncIterator[Watched]:
    client = connect(plain_url(server.url))
    store = CABundles(client, kinds=kinds, refresh=refresh)
    watched = Watched(store)
    for one in wanted:
        store.use(one, watched)
    task = asyncio.create_task(store.run())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param(None, None, id="no-probe"),
        pytest.param(Probe.model_validate({"tcpSocket": {"port": 1}}), None, id="tcp"),
        pytest.param(Probe.model_validate({"httpGet": {"port": 1}}), None, id="no-tls"),
        pytest.param(probe(serverName="a.example"), None, id="a-name-alone"),
        pytest.param(FROM_SECRET, SECRET, id="secret"),
        pytest.param(FROM_CONFIG_MAP, CONFIG_MAP, id="config-map"),
        pytest.param(probe(caSecret={"name": "b", "key": "k"}), SECRET._replace(name="b", key="k"), id="another-key"),
    ],
)
def test_ca_reference(asked: Probe | None, found: Reference | None) -> None:
    assert reference("shop", asked) == found


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [pytest.param(FROM_SECRET, SECRET, id="secret"), pytest.param(FROM_CONFIG_MAP, CONFIG_MAP, id="config-map")],
)
async def test_ca_is_read_and_reported_once(server: FaultyServer, pem: str, asked: Probe, wanted: Reference) -> None:
    server.create(secret(pem))
    server.create(config_map(pem))
    async with running(server, wanted) as watched:
        assert watched.store.context(of(asked)) == f"{wanted}: not read yet"
        assert watched.store.problem(of(asked)) is None
        context = await watched.context(asked)
        assert context.cert_store_stats()["x509"] == 1
        await asyncio.sleep(0.2)  # some readings later
        assert watched.store.context(of(asked)) is context
        assert watched.changes == 1


async def test_new_ca_replaces_the_old_one(server: FaultyServer, pem: str, tmp_path: Path) -> None:
    server.create(secret(pem))
    async with running(server, SECRET) as watched:
        first = await watched.context(FROM_SECRET)
        await replace(server, secret(pem + made(tmp_path, "two.example")))
        second = await watched.context(FROM_SECRET, other_than=first)
        assert second.cert_store_stats()["x509"] == 2
        assert watched.changes == 2


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(None, "not found: create it, or correct the name", id="missing"),
        pytest.param(
            secret("x", "tls.crt"), "has no key ca.crt: write its name into the probe's tls", id="another key"
        ),
        pytest.param(secret("nothing"), NO_CA, id="no PEM"),
        pytest.param(secret(b"\xff"), NO_CA, id="no text"),
    ],
)
async def test_invalid_ca_is_reported_and_the_last_one_kept(
    server: FaultyServer, pem: str, body: dict[str, Any] | None, problem: str
) -> None:
    if body is not None:
        server.create(body)
    async with running(server, SECRET) as watched:
        await watched.problem(FROM_SECRET, f"Secret shop/ca: {problem}; {LOST}")
        assert watched.store.context(of(FROM_SECRET)) == f"Secret shop/ca: {problem}"
        if body is None:
            server.create(secret(pem))
        else:
            await replace(server, secret(pem))
        context = await watched.context(FROM_SECRET)
        await watched.problem(FROM_SECRET, "")
        await replace(server, body)
        await watched.problem(FROM_SECRET, f"Secret shop/ca: {problem}; {KEPT}")
        assert watched.store.context(of(FROM_SECRET)) is context


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
        assert watched.store.context(of(FROM_SECRET)) is context
        assert watched.store.problem(of(FROM_SECRET)) is None
        assert watched.changes == 1


async def test_api_server_outage_without_a_ca_is_reported(server: FaultyServer) -> None:
    server.faults.add(Fault(verbs=frozenset({"get"}), code=503))
    async with running(server, SECRET) as watched:
        async with asyncio.timeout(PATIENCE):
            while not watched.changes:
                await asyncio.sleep(0.01)
        assert watched.message(FROM_SECRET).startswith(
            "Secret shop/ca: not read: the API server returned ServiceUnavailable; "
        )


async def test_kinds_not_allowed_are_not_read(server: FaultyServer, pem: str) -> None:
    server.create(secret(pem))
    server.faults.add(Fault(verbs=frozenset({"get"}), code=403))
    async with running(server, SECRET, kinds=("ConfigMap",)) as watched:
        text = "not read: Secrets are not among this cluster's sources of CAs (ESO_CA_SOURCES)"
        await watched.problem(FROM_SECRET, f"Secret shop/ca: {text}; {LOST}")


async def test_ca_requested_later_is_read_at_once(server: FaultyServer, pem: str) -> None:
    server.create(secret(pem))
    client = connect(plain_url(server.url))
    watched = Watched(CABundles(client, kinds=("Secret",), refresh=86_400))
    task = asyncio.create_task(watched.store.run())
    await asyncio.sleep(0.05)
    watched.store.use(SECRET, watched)
    assert watched.store.context(SECRET) == "Secret shop/ca: not read yet"
    await watched.context(FROM_SECRET)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await client.close()

"""`check NAMESPACE/NAME` and `status NAMESPACE/NAME`, against the playground's API server."""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import external_service
from playground.apiserver import FakeApiServer
from probe_sidecar.check import NO_PROBE
from probe_sidecar.explain import NO_LIVE_VIEW, NO_STATUS
from runtime.commands import run
from tests.parents import raw_parent
from tests.unit.probe_sidecar.probes.servers import bundle, server_context


def static(name: str = "static", **spec: Any) -> dict[str, Any]:
    return raw_parent(metadata={"name": name, "namespace": "external-service"}, **spec)


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer(loopback=True) as server:
        server.create(static(ips=["10.0.0.1"]))
        yield server


async def typed(*arguments: str) -> int:
    return await asyncio.to_thread(run, external_service, "external-service", arguments)


async def test_check_accepts_an_object_of_the_cluster(api: FakeApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert await typed("check", "external-service/static", "--server", api.url) == 0
    assert NO_PROBE in " ".join(capsys.readouterr().out.split())


async def test_check_reads_the_secrets_of_the_probe(
    api: FakeApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a server that asks for a client certificate, and shows the header that it got."""
    context = server_context(tmp_path, "a.example")
    pem = (tmp_path / "a.example.pem").read_bytes()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=bundle(tmp_path, "a.example"))
    seen = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 500 s3cret\r\nX-Token: s3cret\r\nContent-Length: 6\r\n\r\ns3cret")
        await writer.drain()
        writer.close()

    data = {"tls.crt": pem, "tls.key": pem, "token": b"s3cret\n"}
    secret = {"metadata": {"name": "probe", "namespace": "external-service"}, "apiVersion": "v1", "kind": "Secret"}
    header = {"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "probe", "key": "token"}}}
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        tls = {"clientCertificateSecret": {"name": "probe"}}
        http = {"port": port, "scheme": "HTTPS", "tls": tls, "httpHeaders": [header]}
        api.create(static("secret", ips=["127.0.0.1"], readinessProbe={"httpGet": http}))
        command = ("check", "external-service/secret", "--server", api.url)
        assert await typed(*command) == 2
        lacking = capsys.readouterr().err
        api.create({**secret, "data": {name: b64encode(value).decode() for name, value in data.items()}})
        assert await typed(*command) == 1
    assert "external-service/secret needs the client certificate in Secret external-service/probe: not found" in lacking
    assert b"X-Token: s3cret\r\n" in seen[0]
    shown = "".join(capsys.readouterr())
    assert "HTTP 500" in shown
    assert "s3cret" not in shown


async def test_namespace_is_that_of_the_kubeconfig(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "config", "external-service")))
    assert await typed("check", "static") == 0
    assert capsys.readouterr().out.startswith("external-service/static: no probe")


async def test_check_of_a_file_uses_the_given_namespace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cr.json"
    file.write_text(json.dumps({**static(), "metadata": {"name": "static"}}))
    assert await typed("check", str(file), "-n", "shop") == 0
    assert capsys.readouterr().out.startswith("shop/static: ")
    file.write_text(json.dumps(static()))
    assert await typed("check", str(file), "-n", "shop") == 2
    assert "namespace external-service, and --namespace says shop" in capsys.readouterr().err


async def test_status_without_one_says_so_and_is_status_1(
    api: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed("status", "static", "-n", "external-service", "--server", api.url) == 1
    shown = capsys.readouterr().out
    assert NO_STATUS in shown
    assert f"{NO_LIVE_VIEW}: " in shown


async def test_object_that_does_not_exist_is_status_2(api: FakeApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert await typed("status", "external-service/other", "--server", api.url) == 2
    assert "external-service/other: 404 NotFound" in capsys.readouterr().err

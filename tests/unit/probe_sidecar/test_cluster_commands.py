"""`check NAMESPACE/NAME` and `status NAMESPACE/NAME`, against the playground's API server."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from playground.apiserver import FakeApiServer
from probe_sidecar.__main__ import main

OBJECT: dict[str, Any] = {
    "apiVersion": "eso.crowdfox.com/v1alpha1",
    "kind": "ExternalService",
    "metadata": {"name": "static", "namespace": "external-service"},
    "spec": {"port": 80, "ips": ["10.0.0.1"]},
}


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as server:
        server.create(OBJECT)
        yield server


async def typed(*arguments: str) -> int:
    return await asyncio.to_thread(main, arguments)


async def test_check_accepts_an_object_of_the_cluster(api: FakeApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert await typed("check", "external-service/static", "--server", api.url) == 0
    assert "published as ready without" in capsys.readouterr().out


async def test_namespace_is_that_of_the_kubeconfig(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "config", "external-service")))
    assert await typed("check", "static") == 0
    assert capsys.readouterr().out.startswith("external-service/static: no probe")


async def test_status_without_one_says_so_and_is_status_1(
    api: FakeApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed("status", "static", "-n", "external-service", "--server", api.url) == 1
    shown = capsys.readouterr().out
    assert "Is the operator running" in shown
    assert "No live view: " in shown


async def test_status_as_json_has_the_object(api: FakeApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    await typed("status", "external-service/static", "--server", api.url, "-o", "json", "--no-live")
    assert json.loads(capsys.readouterr().out)["object"]["spec"] == OBJECT["spec"]


async def test_object_that_does_not_exist_is_status_2(api: FakeApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert await typed("status", "external-service/other", "--server", api.url) == 2
    assert "external-service/other: 404 NotFound" in capsys.readouterr().err


async def test_missing_cluster_configuration_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert await typed("status", "shop/static") == 2
    assert "--kubeconfig PATH" in capsys.readouterr().err

"""The metrics pages of both processes as Prometheus' own promtool reads them."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from playground.apiserver import FakeApiServer
from playground.processes import Component, free_ports
from tests.until import until

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[str]:
    door, pages = free_ports(2)
    settings = {"ESO_METRICS_LISTEN_HOST": HOST, "ESO_METRICS_LISTEN_PORT": str(pages)}
    yield from running(tmp_path, ["app", "--host", HOST, "--port", str(door)], settings, pages)


@pytest.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as server:
        probe = {"httpGet": {"port": 1}, "periodSeconds": 1, "initialDelaySeconds": 3600}  # none is sent
        spec = {"port": 80, "ips": ["192.0.2.1", "192.0.2.2"], "minReady": 1, "readinessProbe": probe}
        kind = {"apiVersion": "eso.crowdfox.com/v1alpha1", "kind": "ExternalService"}
        server.create(kind | {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        yield server


@pytest.fixture
def sidecar(api: FakeApiServer, tmp_path: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    settings = {"ESO_HEALTH_LISTEN_HOST": HOST, "ESO_HEALTH_LISTEN_PORT": str(port)}
    yield from running(tmp_path, ["probe_sidecar", "--server", api.url], settings, port)


def running(folder: Path, arguments: list[str], settings: dict[str, str], port: int) -> Iterator[str]:
    """A process of ours, and where its metrics are."""
    process = Component(
        arguments[0],
        [sys.executable, "-m", *arguments],
        log=folder / f"{arguments[0]}.log",
        ready=lambda: True,
        environment=settings | {"PYTHONPATH": str(ROOT)},
    )
    process.start()
    yield f"http://{HOST}:{port}/metrics"
    process.stop()


async def page(url: str, text: str) -> str:
    """The page, as soon as `text` stands in it."""
    found = ""

    async def there() -> bool:
        nonlocal found
        try:
            found = (await client.get(url)).text
        except httpx.TransportError:
            return False
        return text in found

    async with httpx.AsyncClient(trust_env=False) as client:
        await until(there, f"{url} reports {text}", seconds=30)
    return found


def faults(promtool: Path, text: str) -> list[str]:
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is not bool(done.stderr)
    return done.stderr.splitlines()


async def test_hook_metrics_page_is_valid(promtool: Path, hook: str) -> None:
    assert faults(promtool, await page(hook, "eso_syncs_total")) == []


async def test_sidecar_metrics_page_is_valid(promtool: Path, sidecar: str) -> None:
    assert faults(promtool, await page(sidecar, 'eso_address_ready{namespace="default",name="web"')) == []


def test_metrics_page_check_finds_faults(promtool: Path) -> None:
    assert faults(promtool, "# TYPE eso_syncs counter\neso_syncs 1\n") != []

"""A running API server and a client for it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from playground.client import ApiClient, Kind
from tests.faults import FaultyServer

EXTERNAL_SERVICES = Kind("eso.crowdfox.com/v1alpha1", "externalservices", "ExternalService", namespaced=True)


def external_service(name: str = "web", **spec: Any) -> dict[str, Any]:
    """An ExternalService as a user writes it."""
    return {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"port": 80, "ips": ["10.0.0.1"]} | spec,
    }


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as running:
        yield running


@pytest.fixture
async def http(server: FaultyServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=5, headers={"User-Agent": "tester/1"}) as client:
        yield client


@pytest.fixture
def client(http: httpx.AsyncClient) -> ApiClient:
    return ApiClient(http, "tester/1")

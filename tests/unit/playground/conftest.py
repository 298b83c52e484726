"""A running API server and a client for it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from playground.client import ApiClient
from tests.faults import FaultyServer


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

"""The stand-in of the API server, for tests that talk to one."""

from collections.abc import AsyncIterator

import pytest

from tests.faults import FaultyServer


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(loopback=True) as server:
        yield server

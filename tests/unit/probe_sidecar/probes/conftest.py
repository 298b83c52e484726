import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.exchange import Outcome
from probe_sidecar.probes.poller import LoopPoller, best_poller
from probe_sidecar.probes.prepare import PreparedProbe
from tests.unit.probe_sidecar.probes.servers import Script, Server

Judge = Callable[[PreparedProbe], Awaitable[Outcome]]
Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start scripted servers that end with the test."""
    servers: list[Server] = []

    def start(*scripts: Script, **options: object) -> Server:
        servers.append(Server(*scripts, **options))  # type: ignore[arg-type] # ip and context, checked by Server
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(params=[pytest.param(best_poller, id="epoll"), pytest.param(LoopPoller, id="loop")])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[ProbeEngine]:
    """The engine, with each of its two pollers."""
    made = ProbeEngine(asyncio.get_running_loop(), poller=request.param)
    yield made
    made.close()


@pytest.fixture
def judge(engine: ProbeEngine) -> Judge:
    """Run one probe to its outcome."""

    async def run(probe: PreparedProbe) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        engine.start(probe, lambda outcome, seconds: future.set_result(outcome))
        return await asyncio.wait_for(future, 20)

    return run

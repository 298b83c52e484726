"""A suspected outage, with the whole sidecar: what it delays, and what it reports."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from probe_sidecar.sidecar import Sidecar
from tests.faults import FaultyServer
from tests.unit.probe_sidecar.sidecars import (
    PATIENCE,
    SETTINGS,
    create,
    external_service,
    running,
    targets,
)
from tests.until import until


class DeafableBackend:
    """Accepts connections, or is deaf: its queue is full, and the kernel drops whatever else knocks."""

    def __init__(self, ip: str) -> None:
        self.listener = socket.create_server((ip, 0), backlog=0)
        self.listener.setblocking(False)
        self.port = int(self.listener.getsockname()[1])
        self._fillers: list[socket.socket] = []
        self._accepting: asyncio.Task[None] | None = None

    def hear(self) -> None:
        self._accepting = asyncio.create_task(self._accept())
        for filler in self._fillers:
            filler.close()

    def close(self) -> None:
        for filler in self._fillers:
            filler.close()
        self.listener.close()

    async def deafen(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.listener.getsockname())
            self._fillers.append(filler)

    async def _accept(self) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(self.listener)
            connection.close()


@asynccontextmanager
async def fleet(server: FaultyServer, sidecar: Sidecar) -> AsyncIterator[list[DeafableBackend]]:
    """Two ExternalServices with three addresses, ready."""
    backends = [DeafableBackend(f"127.0.2.{number}") for number in range(1, 4)]
    try:
        for number, one in enumerate(backends):
            one.hear()
            parent = external_service(one.port, one.listener.getsockname()[0])
            parent["metadata"]["name"] = f"web-{number}"
            create(server, parent)
        await all_of(server, lambda status: status.get("ready") == "1/1")
        assert sidecar.outage.guard.suspected is False
        yield backends
    finally:
        for one in backends:
            await one.deafen()
            one.close()


async def all_of(server: FaultyServer, found: Callable[[Mapping[str, Any]], bool]) -> list[Mapping[str, Any]]:
    """The statuses of the fleet as soon as each is as looked for."""
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            objects = [server.get("ExternalService", "shop", f"web-{number}") or {} for number in range(3)]
            statuses: list[Mapping[str, Any]] = [one.get("status", {}) for one in objects]
            if all(found(status) for status in statuses):
                return statuses
            await asyncio.sleep(0.01)


def outage(status: Mapping[str, Any]) -> tuple[str, str] | None:
    found = [one for one in status.get("conditions", ()) if one["type"] == "SuspectedOutage"]
    return (found[0]["status"], found[0]["reason"]) if found else None


def holding(server: FaultyServer, seconds: int) -> AbstractAsyncContextManager[Sidecar]:
    return running(server, SETTINGS.model_copy(update={"outage_hold_seconds": seconds}))


async def until_suspected(sidecar: Sidecar) -> None:
    await until(lambda: sidecar.outage.guard.suspected)


async def until_all_respond(sidecar: Sidecar) -> None:
    """All of them, since they stopped responding."""
    async with asyncio.timeout(2 * PATIENCE):
        while sidecar.outage.guard.suspected or any(target.unanswered for target in targets(sidecar)):
            await asyncio.sleep(0.01)


async def test_outage_is_suspected_without_any_response(server: FaultyServer, caplog: pytest.LogCaptureFixture) -> None:
    async with holding(server, 8) as sidecar, fleet(server, sidecar) as backends:
        before = [status["revision"] for status in await all_of(server, lambda _: True)]
        for one in backends:
            await one.deafen()
        statuses = await all_of(server, lambda status: outage(status) == ("True", "NoResponse"))
        assert {status["ready"] for status in statuses} == {"1/1"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sidecar.pages.port}", trust_env=False) as client:
            page = (await client.get("/status")).json()
            assert (page["outage"]["suspected"], page["outage"]["holdSeconds"]) == (True, 8)
            message = page["outage"]["message"]
            assert (await client.get("/status.txt")).text.startswith(f"SUSPECTED OUTAGE: {message}\n")
            for one in backends:
                one.hear()
            await until_all_respond(sidecar)
            assert not (await client.get("/status.txt")).text.startswith("SUSPECTED OUTAGE")
        statuses = await all_of(server, lambda status: outage(status) == ("False", "ResponseReceived"))
        assert {status["ready"] for status in statuses} == {"1/1"}
        written = [status["revision"] - one for status, one in zip(statuses, before, strict=True)]
        assert written == [2, 2, 2], "one write as it began, one as it ended"
    said = [record.getMessage() for record in caplog.records]
    assert said.count(message) == 1
    assert [line for line in said if "is not ready:" in line] == []


async def test_real_outage_is_published_after_the_hold(server: FaultyServer) -> None:
    async with holding(server, 3) as sidecar, fleet(server, sidecar) as backends:
        for one in backends:
            await one.deafen()
        statuses = await all_of(server, lambda status: status["ready"] == "0/1")
        assert {outage(status) for status in statuses} == {("True", "NoResponse")}

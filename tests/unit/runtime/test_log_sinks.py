"""Hook and sidecar whose stderr is not read: they work on, count dropped lines, and end in time."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from itertools import count

import httpx
import pytest

from playground.processes import free_ports
from tests.faults import FaultyServer
from tests.unit.probe_sidecar.sidecars import (
    DOWN,
    UP,
    backend,
    create,
    external_service,
    states_become,
)

pytestmark = pytest.mark.nightly

PATIENCE = 60.0
ENDS_WITHIN = 10.0
LOST = re.compile(r"^eso_log_lines_dropped_total (.*)$", re.MULTILINE)
BAD = {"port": 80, "ips": ["10.0.0.1"], "hosts": [{"host": f"-{number}"} for number in range(30)]}
"""A spec that is logged in a line of 2 KiB."""


@contextmanager
def full_pipe() -> Iterator[int]:
    """A pipe without room for a byte, that is not read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4_096)
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@contextmanager
def closed_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def full_disk() -> Iterator[int]:
    writing = os.open("/dev/full", os.O_WRONLY)
    yield writing
    os.close(writing)


Sink = Callable[[], AbstractContextManager[int]]
SINKS: dict[str, Sink] = {"full pipe": full_pipe, "closed pipe": closed_pipe, "full disk": full_disk}
sinks = pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)


@asynccontextmanager
async def running(sink: Sink, *command: str, **variables: str) -> AsyncIterator[None]:
    """The process with its output going to the sink; it must end in time when asked to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ESO_", "KUBERNETES_"))}
    with sink() as descriptor:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command), stdout=descriptor, stderr=descriptor, env=kept | variables
        )
    try:
        yield
        process.terminate()
        async with asyncio.timeout(ENDS_WITHIN):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def lost(client: httpx.AsyncClient, pages: int) -> float:
    """Number of log lines that the process has dropped."""
    (found,) = LOST.findall((await client.get(f"http://127.0.0.1:{pages}/metrics")).text)
    return float(found)


async def healthy(client: httpx.AsyncClient, pages: int) -> None:
    """Wait until the process serves."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{pages}/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


async def until_lost(client: httpx.AsyncClient, pages: int, log_line: Callable[[int], Awaitable[object]]) -> None:
    """Let the process log until it has dropped some of it."""
    async with asyncio.timeout(PATIENCE):
        for number in count():
            await log_line(number)
            if number % 50 == 49 and await lost(client, pages):
                return


@sinks
async def test_hook_without_a_log_reader_responds_and_ends(sink: Sink) -> None:
    port, pages = free_ports(2)
    parent = external_service(80, "10.0.0.1")

    async def sync(client: httpx.AsyncClient, spec: object) -> int:
        request = {"parent": {**parent, "spec": spec}}
        return (await client.post(f"http://127.0.0.1:{port}/sync", json=request)).status_code

    ports = {"ESO_METRICS_LISTEN_HOST": "127.0.0.1", "ESO_METRICS_LISTEN_PORT": str(pages)}
    command = "app", "--host", "127.0.0.1", "--port", str(port)
    async with httpx.AsyncClient() as client, running(sink, *command, **ports):
        await healthy(client, pages)
        await until_lost(client, pages, lambda _: sync(client, BAD))
        assert (await sync(client, BAD), await sync(client, parent["spec"])) == (422, 200)


@sinks
async def test_sidecar_without_a_log_reader_probes_and_ends(sink: Sink) -> None:
    (pages,) = free_ports(1)
    settings = {
        "ESO_ALLOW_LOOPBACK": "true",
        "ESO_HEALTH_LISTEN_HOST": "127.0.0.1",
        "ESO_HEALTH_LISTEN_PORT": str(pages),
    }
    async with FaultyServer(loopback=True) as server, httpx.AsyncClient() as client:
        key = server.resource("ExternalService").key

        async def change(number: int) -> None:
            bad = external_service(80) | {"spec": BAD}
            bad["metadata"] = {"name": "bad", "namespace": "shop", "uid": "bad", "generation": number}
            server.storage.put(key, bad)
            await asyncio.sleep(0)

        async with running(sink, "probe_sidecar", "--server", server.url, **settings):
            async with backend("127.0.0.2") as port:
                create(server, external_service(port, "127.0.0.2"))
                await healthy(client, pages)
                await until_lost(client, pages, change)
                await states_become(server, {"127.0.0.2": UP})
            await states_become(server, {"127.0.0.2": DOWN})

"""A whole sidecar in the process of the test, its API server, and the backends that it probes on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from playground.apiserver.registry import Write
from playground.apiserver.server import FakeApiServer
from probe_sidecar.kube.client import connect
from probe_sidecar.kube.credentials import plain_url
from probe_sidecar.prober.target import Target
from probe_sidecar.settings import Settings
from probe_sidecar.sidecar import Sidecar
from tests.parents import raw_parent
from tests.until import until

Object = dict[str, Any]

PATIENCE = 10.0
SETTINGS = Settings(allow_loopback=True, health_listen_host="127.0.0.1", health_listen_port=0)


@asynccontextmanager
async def running(server: FakeApiServer, settings: Settings = SETTINGS) -> AsyncIterator[Sidecar]:
    stop = asyncio.Event()
    sidecar = Sidecar(connect(plain_url(server.url)), settings)
    task = asyncio.create_task(sidecar.run(stop))
    try:
        yield sidecar
    finally:
        stop.set()
        await task


@asynccontextmanager
async def backend(host: str, port: int = 0) -> AsyncIterator[int]:
    """Accepts connections on `host`; gives the port."""

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(accept, host, port)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await listener.wait_closed()


def external_service(port: int, *ips: str, **spec: Any) -> Object:
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 2}
    return raw_parent(metadata={"name": "web"}, **{"ips": list(ips), "readinessProbe": probe} | spec)


def create(server: FakeApiServer, obj: Object) -> None:
    """Store the object with Metacontroller's first status, without which the sidecar waits two seconds."""
    created = server.create(obj) | {"status": {"observedGeneration": 1}}
    resource, meta = server.resource(created["kind"]), created["metadata"]
    server.registry.update(Write(resource, meta["namespace"], meta["name"], created, "status"))


async def status_when(server: FakeApiServer, found: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """The status of shop/web as soon as it meets the condition."""

    def status() -> Mapping[str, Any]:
        return dict((server.get("ExternalService", "shop", "web") or {}).get("status", {}))

    await until(lambda: found(status()), "the status")
    return status()


def states(status: Mapping[str, Any]) -> dict[str, tuple[bool, str, str]]:
    return {entry["ip"]: (entry["ready"], entry["reason"], entry["message"]) for entry in status.get("addresses", ())}


async def states_become(server: FakeApiServer, wanted: Mapping[str, tuple[bool, str, str]]) -> Mapping[str, Any]:
    return await status_when(server, lambda status: states(status) == wanted)


UP = (True, "ProbeSucceeded", "connected")
DOWN = (False, "ProbeFailed", "connection refused")


def targets(sidecar: Sidecar) -> Iterator[Target]:
    for service in sidecar.services.values():
        yield from service.targets


def probes(sidecar: Sidecar) -> int:
    """Number of finished probes."""
    counted = [service.targets.counters for service in sidecar.services.values()]
    return sum(one.successful + one.failed + one.unknown for one in counted if one is not None)

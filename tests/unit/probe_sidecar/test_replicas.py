"""Several whole sidecars against one stand-in API server: each address is probed by one, and that one alone writes."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from probe_sidecar.kube.client import connect
from probe_sidecar.kube.credentials import plain_url
from probe_sidecar.replicas import STOPPED, not_acquired, not_renewed
from probe_sidecar.settings import Settings
from probe_sidecar.sidecar import Sidecar
from tests.faults import Fault, FaultyServer
from tests.unit.probe_sidecar.sidecars import external_service, probes, targets
from tests.until import until

Object = dict[str, Any]

NAMESPACE = "operator"
NAMES = [f"web{number}" for number in range(24)]
"""Enough that each of three replicas owns one: their uids are random, and one is left out in 2 of 10,000 runs."""
LEASE_SECONDS = 3


def settings(pod: str, **more: Any) -> Settings:
    return Settings(
        allow_loopback=True,
        health_listen_host="127.0.0.1",
        health_listen_port=0,
        pod_name=pod,
        lease_namespace=NAMESPACE,
        lease_seconds=LEASE_SECONDS,
        **more,
    )


class Backend:
    """Accepts and counts connections on an address of loopback; `up` False: refuses them."""

    def __init__(self, ip: str) -> None:
        self.ip = ip
        self.port = 0
        self.connections = 0
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._accept, self.ip, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()

    def _accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


class World:
    """One API server, a backend for each ExternalService, and the sidecars by the names of their Pods."""

    def __init__(self) -> None:
        self.server = FaultyServer(loopback=True)
        self.backends = {name: Backend(f"127.0.1.{number}") for number, name in enumerate(NAMES, 1)}
        self.sidecars: dict[str, Sidecar] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.stops: dict[str, asyncio.Event] = {}

    def start(self, pod: str, **more: Any) -> Sidecar:
        access = plain_url(self.server.url)
        sidecar = Sidecar(connect(access), settings(pod, **more), leases=connect(access, LEASE_SECONDS / 5))
        self.stops[pod] = asyncio.Event()
        self.sidecars[pod] = sidecar
        self.tasks[pod] = asyncio.create_task(sidecar.run(self.stops[pod]))
        return sidecar

    async def stop(self, pod: str) -> None:
        """SIGTERM."""
        self.stops[pod].set()
        await self.tasks.pop(pod)
        del self.sidecars[pod]

    def create(self, name: str, **spec: Any) -> None:
        backend = self.backends.get(name, self.backends[NAMES[0]])
        made = external_service(backend.port, backend.ip, **spec)
        self.server.create(made | {"metadata": made["metadata"] | {"name": name}})

    def status(self, name: str) -> Object:
        found: Object = (self.server.get("ExternalService", "shop", name) or {}).get("status", {})
        return found

    def ready(self, name: str) -> bool | None:
        addresses = self.status(name).get("addresses")
        return addresses[0]["ready"] if addresses else None

    def probers(self) -> Counter[str]:
        """Number of sidecars that probe each ExternalService."""
        return Counter(target.owner.name for sidecar in self.sidecars.values() for target in targets(sidecar))

    def shared(self) -> bool:
        return self.probers() == {f"shop/{name}": 1 for name in NAMES}

    def working(self, *pods: str) -> bool:
        """Whether all ExternalServices have an owner, and each of these replicas owns some."""
        return self.shared() and all(self.share(pod) for pod in pods)

    def share(self, pod: str) -> set[str]:
        return {service.name for service in self.sidecars[pod].services.values()}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world.server)
        world.server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for backend in world.backends.values():
            await backend.start()
            stack.push_async_callback(backend.stop)
        for name in NAMES:
            world.create(name)
        try:
            yield world
        finally:
            for pod in list(world.tasks):
                await world.stop(pod)


async def all_ready(world: World) -> None:
    await until(lambda: all(world.ready(name) for name in NAMES), "every address to be ready", seconds=20)


async def test_rollout_changes_writes_and_logs_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.start("old-a")
    world.start("old-b")
    await until(world.shared, "the work to be shared")
    await all_ready(world)
    before = {name: world.status(name) for name in NAMES}
    caplog.clear()
    caplog.set_level(logging.INFO)
    for old, new in (("old-a", "new-a"), ("old-b", "new-b")):
        world.start(new)
        await until(partial(world.working, new), f"{new} to have its share")
        await world.stop(old)
        await until(world.shared, f"the share of {old} to be taken over", seconds=1)
    probed = {name: backend.connections for name, backend in world.backends.items()}
    await until(lambda: all(world.backends[n].connections > probed[n] + 2 for n in NAMES), "probes by the new ones")
    assert {name: world.status(name) for name in NAMES} == before
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_pending_transition_is_written_before_the_release(world: World) -> None:
    world.start("a")
    await all_ready(world)
    mark = world.server.audit.total
    slow = world.server.faults.add(
        Fault(verbs=frozenset({"patch"}), resources=frozenset({"externalservices"}), seconds=0.2)
    )
    await world.backends["web0"].stop()
    await until(lambda: slow.hits > 0, "the write to be under way")
    await world.stop("a")
    deeds = [(one.verb, one.resource) for one in world.server.audit.since(mark) if one.code == 200]
    assert world.ready("web0") is False
    assert deeds.index(("patch", "externalservices")) < deeds.index(("delete", "leases"))


async def test_replica_without_lease_stops_and_returns_from_the_status(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not use results of the time without connection (R6): they may concern its own network."""
    sidecar = world.start("a")
    await all_ready(world)
    before = {name: world.status(name) for name in NAMES}
    leases = world.server.faults.add(Fault(resources=frozenset({"leases"}), code=503))
    for backend in world.backends.values():
        await backend.stop()
    writes = world.server.faults.add(Fault(verbs=frozenset({"patch"}), code=503))
    await until(lambda: not list(targets(sidecar)), "the work to be put down")
    assert sidecar._unready() is None, "an API outage must not take the hook in the same Pod with it"
    assert sidecar.replicas.problem == not_renewed("operator/probe-sidecar-a")
    assert any(STOPPED in record.getMessage() for record in caplog.records)
    for backend in world.backends.values():
        await backend.start()
    leases.lift()
    writes.lift()
    await until(world.shared, "the work to be taken up again")
    await until(lambda: probes(sidecar) > 0 and all(abs(t.streak) >= 3 for t in targets(sidecar)))
    assert {name: world.status(name) for name in NAMES} == before


async def test_readyz_waits_for_the_first_lease(world: World) -> None:
    no_leases = world.server.faults.add(Fault(resources=frozenset({"leases"}), code=503))
    sidecar = world.start("a")
    await until(lambda: sidecar.reflectors.unlisted is None, "the first list")
    assert sidecar._unready() == not_acquired("operator/probe-sidecar-a")
    assert list(targets(sidecar)) == []
    no_leases.lift()
    await until(lambda: sidecar._unready() is None, "it to be ready")

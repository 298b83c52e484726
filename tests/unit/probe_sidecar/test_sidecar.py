"""The sidecar as a whole, against the stand-in API server and real sockets on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from playground.apiserver.faults import Fault
from playground.apiserver.server import FakeApiServer
from playground.dns_server import DnsServer, Record
from probe_sidecar.kube.client import connect
from probe_sidecar.kube.credentials import plain_url
from probe_sidecar.prober.target import Target
from probe_sidecar.settings import Settings
from probe_sidecar.sidecar import Sidecar, run

Object = dict[str, Any]

PATIENCE = 10.0
SETTINGS = Settings(allow_loopback=True, health_listen_host="127.0.0.1", health_listen_port=0)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer(loopback=True) as server:
        yield server


@asynccontextmanager
async def running(server: FakeApiServer, settings: Settings = SETTINGS) -> AsyncIterator[Sidecar]:
    stop = asyncio.Event()
    sidecar = Sidecar(connect(plain_url(server.url)), settings)
    task = asyncio.create_task(run(sidecar, stop))
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
    return {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"port": 80, "ips": list(ips), "readinessProbe": probe} | spec,
    }


async def until(server: FakeApiServer, found: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """The status of shop/web as soon as it is as looked for."""
    status: Mapping[str, Any] = {}
    async with asyncio.timeout(PATIENCE):
        while True:
            status = (server.get("ExternalService", "shop", "web") or {}).get("status", {})
            if found(status):
                return status
            await asyncio.sleep(0.01)


def states(status: Mapping[str, Any]) -> dict[str, tuple[bool, str, str]]:
    return {entry["ip"]: (entry["ready"], entry["reason"], entry["message"]) for entry in status.get("addresses", ())}


UP = (True, "ProbeSucceeded", "connected")
DOWN = (False, "ProbeFailed", "connection refused")


async def test_addresses_are_probed_and_told(server: FakeApiServer) -> None:
    async with backend("127.0.0.2") as port, running(server):
        server.create(external_service(port, "127.0.0.2", "127.0.0.3"))
        status = await until(server, lambda status: states(status) == {"127.0.0.2": UP, "127.0.0.3": DOWN})
    assert status["ready"] == "1/2"
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("Ready", "True", "SomeAddressesReady"),
        ("Accepted", "True", "Accepted"),
    ]


async def test_a_dead_backend_leaves_and_a_recovered_one_returns(server: FakeApiServer) -> None:
    async with running(server):
        async with backend("127.0.0.2") as port:
            server.create(external_service(port, "127.0.0.2"))
            await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        await until(server, lambda status: states(status) == {"127.0.0.2": DOWN})
        async with backend("127.0.0.2", port):
            await until(server, lambda status: states(status) == {"127.0.0.2": UP})


async def test_a_restart_flips_nothing_and_writes_nothing(server: FakeApiServer) -> None:
    async with backend("127.0.0.2") as port:
        async with running(server):
            server.create(external_service(port, "127.0.0.2"))
            before = await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        async with running(server) as sidecar:
            async with asyncio.timeout(PATIENCE):
                while probes(sidecar) < 3:
                    await asyncio.sleep(0.01)
            assert sidecar.publisher.counters.writes == 0
    assert (server.get("ExternalService", "shop", "web") or {})["status"] == before


async def test_a_prober_at_its_limit_says_so_and_the_next_owner_says_nothing_else(server: FakeApiServer) -> None:
    """One place, and three addresses that never answer; the one after it has places enough, and writes nothing."""

    def late(status: Mapping[str, Any]) -> bool:
        conditions = {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())}
        return conditions.get("ProbesDelayed") == ("True", "NoPlaceLeft")

    ips = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    with socket.create_server(("0.0.0.0", 0), backlog=50) as silent:  # the kernel accepts, and nobody answers
        port = silent.getsockname()[1]
        probe = {"httpGet": {"port": port}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}
        async with running(server, SETTINGS.model_copy(update={"concurrent_probes": 1})) as limited:
            server.create(external_service(port, *ips, readinessProbe=probe))
            await until(server, late)
            await until(server, lambda status: [one["reason"] for one in status["addresses"]] == ["ProbeFailed"] * 3)
            assert [bool(one.delay.text) for one in limited.services.values()] == [True]
        before = server.get("ExternalService", "shop", "web")
        async with running(server) as sidecar:
            await sidecar_knows(sidecar, 3)
            assert [bool(one.delay.text) for one in sidecar.services.values()] == [True]
        assert server.get("ExternalService", "shop", "web") == before


def targets(sidecar: Sidecar) -> Iterator[Target]:
    for service in sidecar.services.values():
        yield from service.targets


def probes(sidecar: Sidecar) -> int:
    """How many have ended."""
    counted = [service.targets.counters for service in sidecar.services.values()]
    return sum(one.successful + one.failed + one.unknown for one in counted if one is not None)


async def sidecar_knows(sidecar: Sidecar, addresses: int) -> None:
    """Until so many have failed twice by this process."""
    async with asyncio.timeout(PATIENCE):
        while sum(target.failures >= 2 for target in targets(sidecar)) < addresses:
            await asyncio.sleep(0.01)


async def test_a_status_that_somebody_overwrites_is_written_again(server: FakeApiServer) -> None:
    server.knobs.guard = False
    async with backend("127.0.0.2") as port, running(server):
        server.create(external_service(port, "127.0.0.2"))
        await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            path = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices/web"
            stale = (await client.get(path)).json() | {"status": {"observedGeneration": 1}}
            written = await client.put(f"{path}/status", json=stale)
            assert written.status_code == 200, written.text
        status = await until(server, lambda status: states(status) == {"127.0.0.2": UP})
    assert status["observedGeneration"] == 1


async def test_a_spec_that_cannot_be_read_is_told_and_keeps_its_addresses(server: FakeApiServer) -> None:
    async with backend("127.0.0.2") as port, running(server) as sidecar:
        server.create(external_service(port, "127.0.0.2"))
        await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        stored = server.storage.get(server.resource("ExternalService").key, "shop", "web")
        assert stored is not None
        broken = stored | {"spec": stored["spec"] | {"port": "80"}}
        broken["metadata"] = broken["metadata"] | {"generation": 2}
        sidecar._observe({broken["metadata"]["uid"]: broken}, frozenset({broken["metadata"]["uid"]}))
        wanted = sidecar.services[broken["metadata"]["uid"]].wanted(broken)
        assert wanted is not None
        assert states(wanted) == {"127.0.0.2": UP}
        accepted = next(one for one in wanted["conditions"] if one["type"] == "Accepted")
        assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
        assert accepted["message"].startswith("spec.port: write a port number from 1 to 65535")


async def test_a_deleted_external_service_is_not_probed_any_more(server: FakeApiServer) -> None:
    async with backend("127.0.0.2") as port, running(server) as sidecar:
        server.create(external_service(port, "127.0.0.2"))
        await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            path = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices/web"
            (await client.delete(path)).raise_for_status()
        async with asyncio.timeout(PATIENCE):
            while sidecar.services:
                await asyncio.sleep(0.01)


async def test_an_api_outage_flips_nothing_and_its_end_is_noticed(server: FakeApiServer) -> None:
    async with running(server):
        async with backend("127.0.0.2") as port:
            server.create(external_service(port, "127.0.0.2"))
            await until(server, lambda status: states(status) == {"127.0.0.2": UP})
            refuse = server.faults.add(Fault(code=503))
            server.drop_connections()
        await asyncio.sleep(0.2)
        assert states((server.get("ExternalService", "shop", "web") or {})["status"]) == {"127.0.0.2": UP}
        refuse.lift()
        await until(server, lambda status: states(status) == {"127.0.0.2": DOWN})


async def test_health_pages_mean_something(server: FakeApiServer) -> None:
    stall = server.faults.add(Fault(verbs=frozenset({"list"}), stall=True))
    async with running(server) as sidecar, httpx.AsyncClient(trust_env=False) as client:
        async with asyncio.timeout(PATIENCE):
            while sidecar.pages.port == 0:
                await asyncio.sleep(0.01)
        base = f"http://127.0.0.1:{sidecar.pages.port}"
        assert (await client.get(f"{base}/healthz")).text == "ok\n"
        unready = await client.get(f"{base}/readyz")
        why = "the first list of ExternalServices has not arrived yet: all namespaces\n"
        assert (unready.status_code, unready.text) == (503, why)
        stall.lift()
        async with asyncio.timeout(PATIENCE):
            while (await client.get(f"{base}/readyz")).status_code != 200:
                await asyncio.sleep(0.01)


async def test_failures_below_the_threshold_show_in_the_live_view_and_cost_no_write(server: FakeApiServer) -> None:
    async with running(server) as sidecar, httpx.AsyncClient(trust_env=False) as client:
        async with backend("127.0.0.2") as port:
            probe = {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 1_000}
            server.create(external_service(port, "127.0.0.2", readinessProbe=probe))
            before = await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        base = f"http://127.0.0.1:{sidecar.pages.port}"
        async with asyncio.timeout(PATIENCE):
            while (shown := (await client.get(f"{base}/status")).json()["addresses"][0])["consecutiveFailures"] < 2:
                await asyncio.sleep(0.05)
        assert (shown["ip"], shown["ready"], shown["lastProbe"]["message"]) == ("127.0.0.2", True, "connection refused")
        assert (server.get("ExternalService", "shop", "web") or {})["status"] == before
        table = (await client.get(f"{base}/status.txt")).text.splitlines()
        assert table[0].split()[:4] == ["NAMESPACE", "NAME", "IP", "READY"]
        assert "/1000 failed" in table[1]
        assert (await client.get(f"{base}/status?name=other")).json()["addresses"] == []


async def test_a_new_object_is_left_to_metacontroller_first(server: FakeApiServer) -> None:
    slow = {"initialDelaySeconds": 60, "tcpSocket": {"port": 1}}
    async with running(server) as sidecar, httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        created = server.create(external_service(1, "127.0.0.2", readinessProbe=slow))
        async with asyncio.timeout(PATIENCE):
            while created["metadata"]["uid"] not in sidecar.services:
                await asyncio.sleep(0.01)
        assert "status" not in (server.get("ExternalService", "shop", "web") or {})
        path = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices/web"
        first = created | {"status": {"observedGeneration": 1}}
        (await client.put(f"{path}/status", json=first)).raise_for_status()
        pending = (False, "Pending", "not probed yet")
        status = await until(server, lambda status: states(status) == {"127.0.0.2": pending})
    assert (status["revision"], status["observedGeneration"]) == (1, 1)


async def test_a_new_object_without_metacontroller_gets_its_status(server: FakeApiServer) -> None:
    slow = {"initialDelaySeconds": 60, "tcpSocket": {"port": 1}}
    async with running(server):
        server.create(external_service(1, "127.0.0.2", readinessProbe=slow))
        status = await until(server, lambda status: status.get("revision") == 1)
    assert states(status) == {"127.0.0.2": (False, "Pending", "not probed yet")}


async def test_what_is_created_later_is_probed_at_once(server: FakeApiServer) -> None:
    """Only what stands in the first list is spread over a period: the prober may have been away from it."""
    patient = {"periodSeconds": 3600, "tcpSocket": {"port": 1}, "failureThreshold": 1}
    async with running(server) as sidecar:
        async with asyncio.timeout(PATIENCE):
            while sidecar.reflectors.unlisted:
                await asyncio.sleep(0.01)
        server.create(external_service(1, "127.0.0.2", readinessProbe=patient))
        await until(server, lambda status: states(status) == {"127.0.0.2": DOWN})


async def test_it_works_in_its_scope_alone(server: FakeApiServer) -> None:
    """What leaves the scope is put down as it stands: another installation may have it by now."""
    scope = SETTINGS.model_copy(update={"namespaces": ("bank", "shop"), "label_selector": "shard=a"})
    path = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices/web"
    async with backend("127.0.0.2") as port, running(server, scope) as sidecar:
        made = external_service(port, "127.0.0.2")
        elsewhere = made | {"metadata": {"name": "web", "namespace": "till", "labels": {"shard": "a"}}}
        unlabelled = made | {"metadata": {"name": "other", "namespace": "shop"}}
        for one in (elsewhere, unlabelled, made | {"metadata": made["metadata"] | {"labels": {"shard": "a"}}}):
            server.create(one)
        await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        assert [one.name for one in sidecar.services.values()] == ["web"]
        change = {"metadata": {"labels": {"shard": "b"}}}
        merge = {"Content-Type": "application/merge-patch+json"}
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            (await client.patch(path, json=change, headers=merge)).raise_for_status()
        async with asyncio.timeout(PATIENCE):
            while sidecar.services:
                await asyncio.sleep(0.01)
        assert states((server.get("ExternalService", "shop", "web") or {})["status"]) == {"127.0.0.2": UP}
    assert "status" not in (server.get("ExternalService", "till", "web") or {})


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
async def fleet(server: FakeApiServer, sidecar: Sidecar) -> AsyncIterator[list[DeafableBackend]]:
    """Two ExternalServices with three addresses, ready."""
    backends = [DeafableBackend(f"127.0.2.{number}") for number in range(1, 4)]
    try:
        for number, one in enumerate(backends):
            one.hear()
            parent = external_service(one.port, one.listener.getsockname()[0])
            parent["metadata"]["name"] = f"web-{number}"
            server.create(parent)
        await all_of(server, lambda status: status.get("ready") == "1/1")
        assert sidecar.outage.suspected is False
        yield backends
    finally:
        for one in backends:
            await one.deafen()
            one.close()


async def all_of(server: FakeApiServer, found: Callable[[Mapping[str, Any]], bool]) -> list[Mapping[str, Any]]:
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


def holding(server: FakeApiServer, seconds: int) -> AbstractAsyncContextManager[Sidecar]:
    return running(server, SETTINGS.model_copy(update={"outage_hold_seconds": seconds}))


async def until_suspected(sidecar: Sidecar) -> None:
    async with asyncio.timeout(2 * PATIENCE):
        while not sidecar.outage.suspected:
            await asyncio.sleep(0.01)


async def until_all_respond(sidecar: Sidecar) -> None:
    """All of them, since they were silent."""
    async with asyncio.timeout(2 * PATIENCE):
        while sidecar.outage.suspected or any(target.unanswered for target in targets(sidecar)):
            await asyncio.sleep(0.01)


async def test_a_prober_that_hears_nobody_suspects_itself(
    server: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with holding(server, 8) as sidecar, fleet(server, sidecar) as backends:
        before = [status["revision"] for status in await all_of(server, lambda _: True)]
        for one in backends:
            await one.deafen()
        statuses = await all_of(server, lambda status: outage(status) == ("True", "NoResponse"))
        assert {status["ready"] for status in statuses} == {"1/1"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sidecar.pages.port}", trust_env=False) as client:
            page = (await client.get("/status")).json()
            assert (page["outage"]["suspected"], page["outage"]["holdSeconds"]) == (True, 8)
            assert (await client.get("/status.txt")).text.startswith("SUSPECTED OUTAGE: No probed ")
            for one in backends:
                one.hear()
            await until_all_respond(sidecar)
            assert not (await client.get("/status.txt")).text.startswith("SUSPECTED OUTAGE")
        statuses = await all_of(server, lambda status: outage(status) == ("False", "ResponseReceived"))
        assert {status["ready"] for status in statuses} == {"1/1"}
        written = [status["revision"] - one for status, one in zip(statuses, before, strict=True)]
        assert written == [2, 2, 2], "one write as it began, one as it ended"
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "own network may be down" in line]) == 1
    assert [line for line in said if "is not ready:" in line] == []


async def test_a_network_that_comes_and_goes_is_told_once_and_to_nobody_who_comes_later(server: FakeApiServer) -> None:
    async with running(server) as sidecar, fleet(server, sidecar) as backends:
        before = [status["revision"] for status in await all_of(server, lambda _: True)]
        for number in (1, 2):
            for one in backends:
                await one.deafen()
            await until_suspected(sidecar)
            assert sidecar.outage.guard.outages == number
            await all_of(server, lambda status: outage(status) == ("True", "NoResponse"))
            for one in backends:
                one.hear()
            await until_all_respond(sidecar)
        server.create(external_service(backends[0].port, backends[0].listener.getsockname()[0]))
        late = await until(server, lambda status: status.get("ready") == "1/1")
        assert outage(late) is None, "it has never been true of it"
        statuses = await all_of(server, lambda _: True)
        assert {outage(status) for status in statuses} == {("True", "NoResponse")}
        assert [status["revision"] - one for status, one in zip(statuses, before, strict=True)] == [1, 1, 1]


async def test_without_the_api_server_the_state_is_kept_all_the_same(server: FakeApiServer) -> None:
    async with running(server) as sidecar, fleet(server, sidecar) as backends:
        before = await all_of(server, lambda status: True)
        refuse = server.faults.add(Fault(code=503))
        server.drop_connections()
        for one in backends:
            await one.deafen()
        await until_suspected(sidecar)
        for one in backends:
            one.hear()
        await until_all_respond(sidecar)
        (watching,) = sidecar.reflectors.each
        watches = watching.watches
        refuse.lift()
        async with asyncio.timeout(2 * PATIENCE):
            while watching.watches == watches:
                await asyncio.sleep(0.01)
        assert await all_of(server, lambda status: True) == before, "nobody was told, and nothing was to be told"


async def test_a_silence_of_all_gets_through_when_its_time_is_up(server: FakeApiServer) -> None:
    async with holding(server, 3) as sidecar, fleet(server, sidecar) as backends:
        for one in backends:
            await one.deafen()
        statuses = await all_of(server, lambda status: status["ready"] == "0/1")
        assert {outage(status) for status in statuses} == {("True", "NoResponse")}


@asynccontextmanager
async def dns(**records: Record) -> AsyncIterator[DnsServer]:
    server = DnsServer({f"{name}.example": record for name, record in records.items()})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def asking(server: DnsServer) -> Settings:
    return SETTINGS.model_copy(update={"dns_servers": (("127.0.0.1", server.port),)})


def names(status: Mapping[str, Any]) -> dict[str, str | None]:
    return {entry["ip"]: entry.get("hostname") for entry in status.get("addresses", ())}


async def test_names_are_resolved_and_their_addresses_probed(server: FakeApiServer) -> None:
    three = ("127.0.0.2", "127.0.0.3", "169.254.1.1")
    async with dns(db=Record(three)) as known, backend("127.0.0.2") as port, running(server, asking(known)):
        server.create(external_service(port, hostnames=["db.example"]))
        status = await until(server, lambda status: states(status).get("127.0.0.3") == DOWN)
    assert states(status)["127.0.0.2"] == UP
    assert states(status)["169.254.1.1"][1] == "Denied"
    assert names(status) == dict.fromkeys(three, "db.example")
    assert status["conditions"][2]["reason"] == "Resolved"


async def test_a_restart_without_dns_flips_nothing_and_writes_nothing(server: FakeApiServer) -> None:
    async with backend("127.0.0.2") as port:
        async with dns(db=Record(("127.0.0.2",))) as names_:
            settings = asking(names_)
            async with running(server, settings):
                server.create(external_service(port, hostnames=["db.example"]))
                before = await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        async with running(server, settings) as sidecar:
            async with asyncio.timeout(PATIENCE):
                while probes(sidecar) < 3:
                    await asyncio.sleep(0.01)
            assert sidecar.publisher.counters.writes == 0
    assert (server.get("ExternalService", "shop", "web") or {})["status"] == before


async def test_a_name_that_moves_never_leaves_the_status_without_a_ready_address(server: FakeApiServer) -> None:
    first = Record(("127.0.0.2",), ttl=1)
    async with dns(db=first) as known, backend("127.0.0.2") as port, running(server, asking(known)):
        server.create(external_service(port, hostnames=["db.example"]))
        await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        known.records["db.example"] = Record(("127.0.0.3",), ttl=1)
        both = await until(server, lambda status: states(status) == {"127.0.0.2": UP, "127.0.0.3": DOWN})
        async with backend("127.0.0.3", port):
            alone = await until(server, lambda status: states(status) == {"127.0.0.3": UP})
    assert alone["revision"] == both["revision"] + 1, "one write for who comes and who goes"


async def test_a_name_that_nobody_knows_is_told_of(server: FakeApiServer) -> None:
    async with dns() as names_, running(server, asking(names_)):
        server.create(external_service(80, hostnames=["db.example"]))
        status = await until(server, lambda status: len(status.get("conditions", ())) == 3)
    told = {one["type"]: (one["status"], one["reason"], one["message"]) for one in status["conditions"]}
    text = "db.example: DNS knows no such name; it has no addresses: create the record, or correct spec.hostnames"
    assert told["Resolved"] == ("False", "NameNotFound", text)


async def test_a_name_that_leaves_the_spec_takes_its_addresses_with_it(server: FakeApiServer) -> None:
    path = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices/web"
    merge = {"Content-Type": "application/merge-patch+json"}
    record = Record(("127.0.0.2",))
    async with dns(db=record) as known, backend("127.0.0.2") as port, running(server, asking(known)) as sidecar:
        server.create(external_service(port, hostnames=["db.example"]))
        await until(server, lambda status: states(status) == {"127.0.0.2": UP})
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            (await client.patch(path, json={"spec": {"hostnames": None}}, headers=merge)).raise_for_status()
        status = await until(server, lambda status: not status["addresses"])
        assert [one["type"] for one in status["conditions"]] == ["Ready", "Accepted"]
        assert not sidecar.names.entries

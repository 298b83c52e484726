"""A mass outage on an API server that is slow: all is written, and no Lease waits behind it. In virtual time."""

import asyncio
from random import Random

import httpx

from playground.apiserver.server import FakeApiServer
from probe_sidecar.kube.client import EXTERNAL_SERVICES, REQUEST_SECONDS, KubeClient
from probe_sidecar.kube.documents import Object
from probe_sidecar.replicas import RENEWALS, LeaseOptions, Replica
from probe_sidecar.settings import Settings
from probe_sidecar.status.publisher import StatusPublisher
from tests.cases import cases
from tests.link import Link, application
from tests.parents import raw_parent
from tests.unit.probe_sidecar.status.writers import Writers
from tests.until import beside
from tests.virtual_time import virtually

NAMESPACE = "operator"
COUNT = 120
LEASE_SECONDS = 15
FIRST = 10.0


class Desk(httpx.AsyncBaseTransport):
    """An API server that takes `seconds` for each request and handles `places` of them at a time. Watches cost
    nothing, as with priority and fairness.
    """

    def __init__(self, link: Link, places: asyncio.Semaphore, seconds: float) -> None:
        self._link, self._places, self._seconds = link, places, seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "watch" not in request.url.params:
            async with self._places:
                await asyncio.sleep(self._seconds)
        return await self._link.handle_async_request(request)


class World:
    """`names` are replicas, with a Lease and a publisher each, that share COUNT ExternalServices."""

    def __init__(self, names: str, places: int, seconds: float) -> None:
        self.server = FakeApiServer()
        self.server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self._application, self._seconds = application(self.server), seconds
        self._places, self._random = asyncio.Semaphore(places), Random(1)
        self.replicas: list[Replica] = []
        self.publishers: list[StatusPublisher] = []
        self.writers: list[Writers] = []
        for name in names:
            self._start(name)

    def _start(self, name: str) -> None:
        loop, random = asyncio.get_running_loop(), self._random.random
        client, leases = self._client(REQUEST_SECONDS), self._client(LEASE_SECONDS / RENEWALS)
        limit = Settings().concurrent_writes
        self.publishers.append(StatusPublisher(loop, client, EXTERNAL_SERVICES, limit=limit, random=random))
        self.writers.append(Writers(self.publishers[-1], wanted))
        self.replicas.append(
            Replica(
                leases,
                LeaseOptions(name, NAMESPACE, "All", LEASE_SECONDS),
                lambda: None,
                clock=loop.time,
                random=random,
            )
        )

    def _client(self, deadline: float) -> KubeClient:
        desk = Desk(Link(self._application), self._places, self._seconds)
        return KubeClient(httpx.AsyncClient(transport=desk, base_url="http://api"), deadline=deadline)

    def fail(self) -> None:
        """Every object has a new status at the same moment."""
        for number in range(COUNT):
            named = {"name": f"web{number}", "namespace": "default"}
            raw = self.server.create(raw_parent(metadata=named, ips=["10.0.0.1"]))
            raw["status"] = {"observedGeneration": raw["metadata"]["generation"]}  # Metacontroller has written before
            self.writers[number % len(self.writers)].observe(raw["metadata"]["uid"], raw)

    @property
    def written(self) -> int:
        return sum(publisher.counters.writes for publisher in self.publishers)


def wanted(raw: Object) -> Object | None:
    return {"ready": "0/1", "revision": 1}


@cases(
    "names places seconds all_within",
    ("fast, one replica", "a", 1, 0.015, 2.0),
    ("slow, and no queue", "a", 100, 1.5, 31.0),
    ("two a second", "a", 2, 1.0, 90.0),
    ("three a second, two replicas", "ab", 3, 1.0, 55.0),
    ("four a second of half a second, two replicas", "ab", 2, 0.5, 38.0),
)
def test_outage_of_all_is_written_without_delaying_leases(
    names: str, places: int, seconds: float, all_within: float
) -> None:
    async def body() -> None:
        world, loop = World(names, places, seconds), asyncio.get_running_loop()
        async with beside(*(one.run() for one in world.replicas), *(one.run() for one in world.publishers)):
            async with asyncio.timeout(60.0):
                while not all(replica.replicas == len(names) for replica in world.replicas):
                    await asyncio.sleep(FIRST)
            begun = loop.time()
            world.fail()
            while world.written < COUNT:
                await asyncio.sleep(0.1)
                assert [replica.problem for replica in world.replicas] == [None] * len(names), "a Lease was lost"
                assert loop.time() - begun < all_within, f"only {world.written} written"
        world.server.api.close()

    virtually(body())

"""Replicas against the stand-in API server in virtual time, each with its own connection and clock."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

import pytest

from probe_sidecar.kube.errors import ApiError
from probe_sidecar.replicas import GROUP_LABEL, NAME_PREFIX, RENEWALS, LeaseOptions, Replica
from probe_sidecar.settings import LONGEST_LEASE
from tests.cases import cases
from tests.examples import examples
from tests.faults import Fault, FaultyServer
from tests.link import LATENCY, Link, application, client
from tests.until import beside
from tests.virtual_time import virtually

NAMESPACE = "operator"
SECONDS = 15
KEYS = [f"uid-{number}" for number in range(10)]
MOMENT = 20 * LATENCY
TRUSTED = SECONDS * 2 / 3


class World:
    """One API server and the replicas, by name; `doubles` notes when a key had two owners."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = asyncio.get_running_loop()
        self.random = Random(seed)
        self.server = FaultyServer()
        self.server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.application = application(self.server)
        self.replicas: dict[str, Replica] = {}
        self.links: dict[str, Link] = {}
        self.running: dict[str, asyncio.Task[None]] = {}
        self.told: Counter[str] = Counter()
        self.doubles: list[float] = []
        self.began: list[float] = []  # when a replica began to work
        self._worked: set[str] = set()

    def start(self, name: str, *, rate: float = 1.0, **options: Any) -> Replica:
        self.links[name] = self.links.get(name) or Link(self.application)
        replica = Replica(
            client(self.links[name], SECONDS / RENEWALS),
            LeaseOptions(options.pop("pod", name), NAMESPACE, options.pop("group", "All"), SECONDS),
            lambda: self.told.update([name]),
            clock=lambda: self.loop.time() * rate,
            random=self.random.random,
            **options,
        )
        self.replicas[name] = replica
        self.running[name] = asyncio.create_task(replica.run())
        return replica

    async def share(self, *names: str, **rates: float) -> None:
        """Start replicas, some with the rates of their clocks, and wait until each owns some keys."""
        for name, rate in (dict.fromkeys(names, 1.0) | rates).items():
            self.start(name, rate=rate)
        await self.until(lambda: self.shared() and self.working() == {*names, *rates})

    async def kill(self, name: str) -> None:
        """As SIGKILL: no other replica is notified."""
        task = self.running.pop(name)
        del self.replicas[name]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def stop(self, name: str) -> None:
        """As SIGTERM."""
        replica = self.replicas[name]
        await self.kill(name)
        await replica.release()

    def owners(self, key: str) -> set[str]:
        return {name for name, replica in self.replicas.items() if replica.owns(key)}

    def working(self) -> set[str]:
        return {name for key in KEYS for name in self.owners(key)}

    def shared(self) -> bool:
        """Whether each key has exactly one owner."""
        return all(len(self.owners(key)) == 1 for key in KEYS)

    def lease(self, name: str) -> Any:
        return self.server.get("Lease", NAMESPACE, NAME_PREFIX + name)

    async def until(self, holds: Callable[[], bool], within: float = 60.0) -> float:
        start = self.loop.time()
        while not holds():
            assert self.loop.time() - start < within, "it has not come true in time"
            await asyncio.sleep(LATENCY / 2)
        return self.loop.time() - start

    async def close(self) -> None:
        for name in list(self.running):
            await self.kill(name)
        self.server.api.close()

    async def watch(self) -> None:
        while True:
            now = self.loop.time()
            working = {name for name, replica in self.replicas.items() if replica.problem is None}
            self.began += [now] * len(working - self._worked)
            self._worked = working
            if any(len(self.owners(key)) > 1 for key in KEYS):
                self.doubles.append(now)
            await asyncio.sleep(0.05)


def scenario(body: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    async def run() -> None:
        world = World()
        try:
            async with beside(world.watch()):
                await body(world)
        finally:
            await world.close()

    def test() -> None:
        virtually(run())

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


@contextmanager
def logged() -> Iterator[list[str]]:
    """Messages that the membership logs at WARNING and above."""
    texts: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    logger, handler = logging.getLogger("probe_sidecar.replicas"), Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)


@scenario
async def test_first_replica_owns_everything(world: World) -> None:
    replica = world.start("a")
    assert (replica.problem, replica.joined) == ("the Lease operator/probe-sidecar-a has not been acquired yet", False)
    assert await world.until(world.shared) < MOMENT
    assert (replica.problem, replica.joined) == (None, True)
    stored = world.lease("a")
    stamp = stored["spec"]["renewTime"]
    assert stored["metadata"]["labels"] == {
        "app.kubernetes.io/name": "external-service-operator",
        "eso.crowdfox.com/prober-group": "All",
    }
    assert stored["spec"] == {
        "holderIdentity": replica.identity,
        "leaseDurationSeconds": 15,
        "renewTime": stamp,
        "acquireTime": stamp,
    }
    assert replica.identity.startswith("a_")


@scenario
async def test_renewals_are_on_time_and_the_only_writes(world: World) -> None:
    world.start("a")
    await world.until(world.shared)
    mark = world.server.audit.total
    await asyncio.sleep(600)
    verbs = Counter(one.verb for one in world.server.audit.since(mark))
    assert 600 / 3 / 1.1 <= verbs.pop("patch") <= 600 / 3 / 0.9 + 1
    assert set(verbs) == {"watch"}, "each watch ends after four or five minutes, and another follows"
    assert world.told["a"] == 1
    assert world.lease("a")["spec"]["acquireTime"] < world.lease("a")["spec"]["renewTime"]


@scenario
async def test_stopped_replica_hands_over_at_once(world: World) -> None:
    await world.share(*"abc")
    with logged() as texts:
        await world.stop("b")
        assert await world.until(world.shared) < MOMENT
        assert world.lease("b") is None
    assert texts == [], "a normal rollout leaves nothing in the log"


@scenario
async def test_killed_replica_is_replaced_when_its_lease_expires(world: World) -> None:
    await world.share(*"abc")
    await world.kill("c")
    taken = await world.until(world.shared)
    assert SECONDS * (1 - 1.1 / RENEWALS) - MOMENT < taken < SECONDS + MOMENT


@pytest.mark.parametrize("fault", ["cut", "hush"])
@cases(
    "fast slow",
    ("true clocks", 1.0, 1.0),
    ("clocks that differ", 1.2, 0.85),
)
def test_isolated_replica_stops_before_others_take_over(fault: str, fast: float, slow: float) -> None:
    @scenario
    async def test(world: World) -> None:
        await world.share(victim=slow, other=fast)
        await asyncio.sleep(1)
        world.doubles.clear()
        with logged() as texts:
            getattr(world.links["victim"], fault)()
            stopped = await world.until(lambda: world.replicas["victim"].problem is not None)
            taken = stopped + await world.until(world.shared)
        assert stopped <= TRUSTED / slow + MOMENT
        assert taken <= SECONDS / fast + MOMENT
        assert world.doubles == []
        problem = "the Lease operator/probe-sidecar-victim could not be renewed in time"
        assert f"{problem}: probing and publishing stop until it is renewed" in texts
        world.links["victim"].heal()
        await world.until(lambda: world.replicas["victim"].problem is None)
        assert await world.until(world.shared) < MOMENT
        assert world.working() == {"victim", "other"}

    test()


@scenario
async def test_renewal_time_is_the_time_of_the_request(world: World) -> None:
    """A slow watch may show a renewal long after the others have seen it."""
    await world.share("victim", "other")
    for lag in range(1, 7):  # slowly, or its watch would be idle for too long
        world.links["victim"].lag = lag
        await asyncio.sleep(2 * SECONDS / RENEWALS)
    assert world.replicas["victim"].problem is None
    world.doubles.clear()
    world.links["victim"].cut()
    stopped = await world.until(lambda: world.replicas["victim"].problem is not None)
    await world.until(world.shared)
    assert stopped <= TRUSTED - 6 + MOMENT
    assert world.doubles == []


@scenario
async def test_idle_watch_does_not_extend_the_lease(world: World) -> None:
    """Its renewals succeed, but it does not see the others: it must not act on an old view."""
    world.start("a")
    await world.until(world.shared)
    mark, start = world.server.audit.total, world.loop.time()
    world.server.api.flowing.clear()
    await world.until(lambda: any(one.verb == "list" for one in world.server.audit.since(mark)), within=SECONDS)
    assert world.loop.time() - start <= SECONDS / 3 + MOMENT, "such a time without a response is enough to read again"
    while world.loop.time() - start < 60:
        assert world.shared(), "and looking again and again is proof enough"
        await asyncio.sleep(0.1)


@scenario
async def test_deleted_lease_is_recreated(world: World) -> None:
    world.start("a")
    await world.until(world.shared)
    world.server.storage.remove(world.server.resource("Lease").key, NAMESPACE, "probe-sidecar-a")
    with logged() as texts:
        await world.until(lambda: not world.shared(), within=MOMENT)
        assert await world.until(world.shared) < MOMENT
    assert texts[0] == "Lease probe-sidecar-a was taken away: it is deleted"
    assert world.lease("a") is not None


@scenario
async def test_later_replica_of_the_same_name_works(world: World) -> None:
    world.start("first", pod="a")
    await world.until(world.shared)
    with logged() as texts:
        world.start("second", pod="a")
        await world.until(lambda: world.replicas["second"].problem is None)
        await asyncio.sleep(120)
    assert world.working() == {"second"}
    holder = world.replicas["second"].identity
    assert f"Lease probe-sidecar-a is held by {holder}: each replica needs an ESO_POD_NAME of its own" in texts
    world.doubles.clear()
    await world.kill("second")
    await world.until(world.shared)
    assert world.working() == {"first"}
    assert world.doubles == []


@scenario
async def test_stale_leases_are_deleted(world: World) -> None:
    for name in "abc":
        world.start(name)
    await world.until(world.shared)
    await world.kill("c")
    await asyncio.sleep(SECONDS + 59)
    assert world.lease("c") is not None, "it may be restarting"
    await asyncio.sleep(10)
    assert world.lease("c") is None
    assert [one.name for one in world.server.audit.since(0) if one.verb == "delete"] == ["probe-sidecar-c"]


@scenario
async def test_many_stale_leases_do_not_delay_the_renewal(world: World) -> None:
    world.start("a")
    await world.until(world.shared)
    for number in range(40):
        spec = {"holderIdentity": "x", "leaseDurationSeconds": 2**31 - 1 if number else 1}
        metadata = {"name": f"gone-{number}", "namespace": NAMESPACE, "labels": {GROUP_LABEL: "All"}}
        world.server.create(
            {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        )
    world.server.faults.add(Fault(verbs=frozenset({"delete"}), seconds=1.0))
    with logged() as texts:
        await asyncio.sleep(LONGEST_LEASE + 200)
    assert world.replicas["a"].shown()["replicas"] == ["probe-sidecar-a"]
    assert [number for number in range(40) if world.server.get("Lease", NAMESPACE, f"gone-{number}")] == []
    assert texts == []


@scenario
async def test_long_retry_after_does_not_cost_the_lease(world: World) -> None:
    replica = world.start("a")
    await world.until(world.shared)
    send, world.doubles = replica._client.send, []

    async def refused(*arguments: Any, **options: Any) -> Any:
        replica._client.send = send  # type: ignore[method-assign]
        raise ApiError(429, "TooManyRequests", "", 60.0)

    replica._client.send = refused  # type: ignore[method-assign]
    for _ in range(300):
        assert world.shared()
        await asyncio.sleep(0.1)


@scenario
async def test_release_survives_a_lost_response(world: World) -> None:
    """The response to the last renewal was lost, so the known version is not the stored one."""
    replica = world.start("a")
    await world.until(world.shared)
    renewed = world.server.storage.get(world.server.resource("Lease").key, NAMESPACE, "probe-sidecar-a")
    assert renewed is not None
    world.server.storage.put(world.server.resource("Lease").key, renewed | {"spec": {**renewed["spec"]}})
    await world.kill("a")
    await replica.release()
    assert world.lease("a") is None


@scenario
async def test_release_keeps_the_lease_of_a_successor(world: World) -> None:
    old = world.start("a")
    await world.until(world.shared)
    await world.kill("a")
    new = world.start("a")
    await world.until(world.shared)
    await old.release()
    assert world.lease("a")["spec"]["holderIdentity"] == new.identity


@pytest.mark.hypothesis
@pytest.mark.parametrize("seed", range(examples(2)))
def test_random_faults_leave_exactly_one_owner(seed: int) -> None:
    """Random cuts, silences, kills, starts and stops. A joiner may overlap with one that cannot see it yet, no longer
    than that one's view is trusted; no replica ever takes over from one that still works."""

    @scenario
    async def test(world: World) -> None:
        random = Random(seed)
        names = ["a", "b", "c", "d"]
        for name in names[:2]:
            world.start(name, rate=random.uniform(0.9, 1.1))
        for _ in range(25):
            name = random.choice(names)
            if name not in world.replicas:
                world.start(name, rate=random.uniform(0.9, 1.1))
            else:
                deed = random.choice(["cut", "hush", "heal", "heal", "kill", "stop", "delete"])
                if deed in ("kill", "stop"):
                    await getattr(world, deed)(name)
                elif deed == "delete" and world.lease(name):
                    key = world.server.resource("Lease").key
                    world.server.storage.remove(key, NAMESPACE, NAME_PREFIX + name)
                    world.began.append(world.loop.time())  # others take over at once, and the victim may not see why
                elif deed != "delete":
                    getattr(world.links[name], deed)()
            await asyncio.sleep(random.choice([0.01, 0.3, 2, 7, 20]))
        for link in world.links.values():
            link.heal()
        if not world.replicas:
            world.start("a")
        await asyncio.sleep(3 * SECONDS)  # those who rejoin see the Leases of the dead for the first time
        assert world.shared()
        late = [at for at in world.doubles if not any(0 <= at - began <= TRUSTED / 0.9 for began in world.began)]
        assert late == []

    test()

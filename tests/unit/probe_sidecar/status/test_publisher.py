"""The publisher against a small API server behind httpx.MockTransport, in virtual time: no test waits for a clock."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from itertools import pairwise
from typing import Any

import httpx
import jsonpatch
import pytest

from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.status.publisher import FAULT_SECONDS, WAITING_SECONDS, ConcurrencyLimit, StatusPublisher
from tests.cases import cases
from tests.unit.probe_sidecar.status.writers import Writers
from tests.virtual_time import virtually

RESOURCE = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")
Object = dict[str, Any]
T0 = "2026-01-01T00:00:00Z"


class World:
    """One API server, one publisher, and the wanted status of each object: only `ready`, for brevity."""

    def __init__(
        self,
        *,
        limit: int = 32,
        latency: float = 0.01,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.store: dict[str, Object] = {}
        self.version = 100
        self.wanted: dict[str, str] = {}
        self.broken: set[str] = set()
        self.sent: list[tuple[float, str, str]] = []  # when, method, name
        self.responses: list[Callable[[httpx.Request], httpx.Response | None]] = []  # scripted, first come first served
        self.latency = latency
        self.in_flight = self.most_in_flight = 0
        self.watching = True
        self.rivals: list[Any] = []
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.handle), base_url="http://api")
        self.publisher = StatusPublisher(
            self.loop,
            KubeClient(http),
            RESOURCE,
            limit=limit,
            random=lambda: 0.0,
        )
        self.writers = Writers(
            self.publisher,
            self.want,
            on_superseded=lambda raw: self.rivals.append(raw["status"].get("ready")),
        )
        self.probing = self.writers.probing

    def want(self, raw: Object) -> Object | None:
        if raw["metadata"]["name"] in self.broken:
            raise ZeroDivisionError
        ready = self.wanted.get(raw["metadata"]["name"])
        if ready is None:
            return None
        status = raw.get("status") or {}
        wanted = status | {"ready": ready}
        return wanted if wanted == status else wanted | {"revision": status.get("revision", 0) + 1}

    async def handle(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.split("/")[7]
        self.sent.append((round(self.loop.time() - 1_000, 3), request.method, name))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            scripted = self.responses.pop(0)(request) if self.responses else None
            return scripted if scripted is not None else self.serve(request, name)
        finally:
            self.in_flight -= 1

    def serve(self, request: httpx.Request, name: str) -> httpx.Response:
        raw = self.store.get(name)
        if raw is None:
            return refusal(404, "NotFound")
        if request.method == "PATCH":
            lock, *operations = json.loads(request.content)
            assert lock == {"op": "replace", "path": "/metadata/resourceVersion", "value": lock["value"]}
            if lock["value"] != raw["metadata"]["resourceVersion"]:
                return refusal(409, "Conflict")
            raw = self.put(name, jsonpatch.apply_patch(raw, operations).get("status"))
        return httpx.Response(200, json=raw)

    def put(
        self, name: str, status: Any, uid: str | None = None, generation: int | None = None, namespace: str = "shop"
    ) -> Object:
        """Store a status as another client's write, and let the watch show it a moment later."""
        self.version += 1
        held = self.store.get(name, {"metadata": {"uid": name}})["metadata"]
        meta = held | {"name": name, "namespace": namespace, "resourceVersion": str(self.version)}
        if uid is not None:
            meta["uid"] = uid
        if generation is not None:
            meta["generation"] = generation
        raw = {"metadata": meta} | ({} if status is None else {"status": status})
        self.store[name] = raw
        self.show(meta["uid"], deepcopy(raw))
        return raw

    def show(self, uid: str, raw: Object | None) -> None:
        """Simulates the watch: in the order of the changes, a moment later."""
        if self.watching:
            self.loop.call_later(0.002, self.writers.observe, uid, raw)

    def turn(self, name: str, ready: str) -> None:
        self.wanted[name] = ready
        self.writers.wake(name)

    def status(self, name: str = "web") -> Any:
        return self.store[name].get("status")

    def patches(self) -> list[float]:
        return [when for when, method, _ in self.sent if method == "PATCH"]

    async def settle(self, seconds: float = 600.0) -> None:
        await asyncio.sleep(seconds)


def refusal(status: int, reason: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"kind": "Status", "reason": reason, "message": "no"}, headers=headers)


def scenario(
    stored: Object | None = None, **options: Any
) -> Callable[[Callable[[World], Awaitable[None]]], Callable[[], None]]:
    """Run the test in virtual time with a world whose publisher runs, and is stopped at the end.

    `stored` is the status of the object "web" a second before the test.
    """

    def decorate(body: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
        async def run() -> None:
            world = World(**options)
            running = asyncio.create_task(world.publisher.run())
            if stored is not None:
                world.put("web", stored)
                await world.settle(1)
            await body(world)
            await world.publisher.close()
            await running

        def test() -> None:
            virtually(run())

        return test

    return decorate


@scenario()
async def test_equal_status_causes_no_request(world: World) -> None:
    world.wanted["web"] = "1/1"
    world.put("web", {"ready": "1/1", "revision": 4})
    world.put("strange", {"ready": "0/1"})
    for _ in range(50):
        await world.settle(1)
        world.writers.wake("web")
        world.writers.wake("strange")
        world.writers.wake("unheard of")
    assert world.sent == []


@scenario(latency=0.5)
async def test_changes_during_a_write_are_one_write(world: World) -> None:
    world.wanted["web"] = "0/9"
    world.put("web", None)
    await world.settle(0.1)
    for ready in range(1, 10):
        world.turn("web", f"{ready}/9")
    await world.settle()
    assert world.status() == {"ready": "9/9", "revision": 2}
    assert world.patches() == [0.002, 1.002], "the second when the syncs after the first are over"


@scenario()
async def test_first_write_follows_metacontrollers_own(world: World) -> None:
    world.wanted["web"] = "0/1"
    world.put("web", None, generation=1)
    await world.settle(0.3)
    world.turn("web", "1/1")
    world.put("web", {"observedGeneration": 1})
    await world.settle()
    assert world.status() == {"observedGeneration": 1, "ready": "1/1", "revision": 1}
    assert world.patches() == [0.802], "half a second after Metacontroller's write"


@scenario()
async def test_first_write_without_metacontroller_waits_2_seconds(world: World) -> None:
    world.wanted["web"] = "1/1"
    world.put("web", None, generation=1)
    await world.settle()
    assert world.status() == {"ready": "1/1", "revision": 1}
    assert world.patches() == [2.002]


@scenario()
async def test_first_write_waits_10_seconds_for_a_known_metacontroller(world: World) -> None:
    world.put("old", {"observedGeneration": 1}, generation=1)
    world.wanted["web"] = "1/1"
    world.put("web", None, generation=1)
    await world.settle()
    assert world.patches() == [10.002]


@scenario(stored={"ready": "2/2", "revision": 3})
async def test_first_transition_is_written_at_once_the_next_waits(world: World) -> None:
    world.turn("web", "1/2")
    await world.settle(0.1)
    world.turn("web", "0/2")
    await world.settle()
    assert world.patches() == [1.0, 1.51], "the first at once, the second when the syncs after the first are over"


@scenario(stored={"ready": "1/1", "revision": 3})
async def test_object_that_never_settles_is_written_after_2_seconds(world: World) -> None:
    for number in range(60):
        world.put("web", {"ready": "1/1", "revision": 3, "children": number})
        if number == 10:
            world.turn("web", "0/1")
        await world.settle(0.1)
    assert world.patches()[0] == pytest.approx(2.0 + 2, abs=0.11)


@scenario(stored={"ready": "3/3", "revision": 3})
async def test_transition_waits_for_probes_in_flight(world: World) -> None:
    world.probing.add("web")
    world.turn("web", "2/3")
    await world.settle(0.012)
    world.turn("web", "1/3")
    await world.settle(0.003)
    world.probing.clear()
    await world.settle()
    assert world.status() == {"ready": "1/3", "revision": 4}
    assert world.patches() == [1.02]


@scenario(stored={"ready": "2/2", "revision": 3})
async def test_close_writes_pending_changes(world: World) -> None:
    world.turn("web", "1/2")
    await world.settle(0.1)
    world.turn("web", "0/2")
    await world.settle(0.1)
    assert world.status()["ready"] == "1/2"
    await world.publisher.close()
    assert world.status() == {"ready": "0/2", "revision": 5}


@scenario(limit=4, latency=1.0)
async def test_writes_in_flight_reach_and_keep_the_limit(world: World) -> None:
    names = [f"cr-{number}" for number in range(20)]
    for name in names:
        world.wanted[name] = "1/1"
        world.put(name, None)
    await world.settle()
    assert [world.status(name) for name in names] == [{"ready": "1/1", "revision": 1}] * 20
    assert world.most_in_flight == 4
    assert world.patches() == sorted([0.002, *[1.002, 2.002] * 2, *[3.002] * 3, *[4.002, 5.002, 6.002] * 4])


@scenario(limit=1, latency=1.0)
async def test_writes_of_one_namespace_do_not_delay_another(world: World) -> None:
    for number in range(100):
        world.wanted[f"cr-{number}"] = "1/1"
        world.put(f"cr-{number}", None, namespace="hostile")
    world.wanted["web"] = "1/1"
    world.put("web", None)
    await world.settle(5)
    assert [name for _, _, name in world.sent[:2]] == ["cr-0", "web"]


@scenario(stored={"revision": 3})
async def test_conflict_is_resolved_from_the_watch(world: World) -> None:
    world.watching = False
    world.put("web", {"revision": 3, "children": "new"})
    world.turn("web", "1/1")
    await world.settle()
    assert world.status() == {"revision": 4, "children": "new", "ready": "1/1"}
    assert world.sent == [(1.0, "PATCH", "web"), (1.01, "GET", "web"), (1.52, "PATCH", "web")]
    assert (world.publisher.counters.conflicts, world.publisher.counters.errors) == (1, 0)


@scenario(stored={"revision": 3})
async def test_422_is_retried_with_back_off(world: World) -> None:
    world.responses = [lambda request: refusal(422, "Invalid") if request.method == "PATCH" else None] * 1_000
    world.turn("web", "1/1")
    await world.settle(3_600)
    counters = world.publisher.counters
    assert (counters.conflicts, counters.writes) == (0, 0)
    assert 220 < counters.errors < 250, "an hour at the longest pause of 15 to 30 s, here always the shorter half"
    world.responses = []
    await world.settle(31)
    assert world.status() == {"revision": 4, "ready": "1/1"}


@cases("version relisted", ("relisted meanwhile", "{}", True), ("versions that are no numbers", "v{}", False))
def test_response_replaces_the_object_that_was_written(version: str, relisted: bool) -> None:
    @scenario()
    async def body(world: World) -> None:
        world.watching = False
        stored = world.put("web", {"ready": "0/1", "revision": 3})
        stored["metadata"]["resourceVersion"] = version.format(7)
        world.writers.observe("web", deepcopy(stored))
        world.responses = [lambda _: httpx.Response(200, json=written)]
        written = deepcopy(stored) | {"status": {"ready": "1/1", "revision": 4}}
        written["metadata"]["resourceVersion"] = version.format(8)
        world.turn("web", "1/1")
        await world.settle(0.005)
        if relisted:
            world.writers.observe("web", deepcopy(stored))
        await world.settle(1)
        world.writers.wake("web")
        await world.settle()
        assert world.sent == [(0.0, "PATCH", "web")]

    body()


def overwriting(world: World, stale: Object, times: int) -> None:
    """Another client writes back a whole stale status 5 ms after each write of ours, `times` times."""
    put = world.put

    def response(request: httpx.Request) -> None:
        nonlocal times
        if request.method == "PATCH" and times:
            times -= 1
            world.loop.call_later(0.005, put, "web", stale)

    world.responses = [response] * 10_000


@scenario(stored={"ready": "0/1", "revision": 3})
async def test_overwritten_status_is_rewritten_with_back_off(world: World) -> None:
    overwriting(world, {"ready": "0/1", "revision": 3}, times=4)
    world.turn("web", "1/1")
    await world.settle()
    assert world.status() == {"ready": "1/1", "revision": 4}
    patches = world.patches()
    pauses = [round(later - sooner - 0.017, 3) for sooner, later in pairwise(patches)]
    assert pauses == [0.025, 0.05, 0.1, 0.2], "exponential, from the short end of the jitter"
    assert (world.publisher.counters.reasserts, world.publisher.counters.writes) == (4, 5)


@scenario(stored={"ready": "0/1", "revision": 3})
async def test_new_transition_does_not_wait_for_the_back_off(world: World) -> None:
    overwriting(world, {"ready": "0/1", "revision": 3}, times=12)
    world.turn("web", "1/1")
    await world.settle(8)
    before = len(world.patches())
    assert world.status()["ready"] == "0/1", "it waits out a long pause"
    now = world.loop.time() - 1_000
    world.turn("web", "2/1")
    await world.settle(0.001)
    assert world.patches()[before:] == [pytest.approx(now)]


@scenario(stored={"ready": "0/1", "revision": 3})
async def test_lagging_watch_is_ignored_for_a_limited_time(world: World) -> None:
    """After etcd is restored from a backup, versions go back, and our newer write is lost."""
    world.watching = False
    world.turn("web", "1/1")
    await world.settle(1)
    world.version = 50
    restored = world.put("web", {"ready": "0/1", "revision": 3})
    world.writers.observe("web", restored)
    await world.settle()
    assert world.status() == {"ready": "1/1", "revision": 4}
    assert [entry for entry in world.sent if entry[1] == "GET"] == [(32.0, "GET", "web")]


@scenario(stored={"revision": 3})
async def test_recreated_object_never_gets_the_old_status(world: World) -> None:
    world.watching = False
    world.put("web", {"revision": 1}, uid="another")
    world.turn("web", "1/1")
    await world.settle(5)
    assert world.status() == {"revision": 1}
    world.writers.observe("web", None)
    world.writers.observe("another", world.store["web"])
    await world.settle()
    assert world.status() == {"revision": 2, "ready": "1/1"}


def refused_connection(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@cases(
    "fault",
    ("500", lambda request: refusal(500, "InternalError")),
    ("403", lambda request: refusal(403, "Forbidden")),
    ("a proxy's page", lambda request: httpx.Response(502, text="<html>bad gateway")),
    ("200 that is no object", lambda request: httpx.Response(200, text="<html>log in")),
    ("200 without metadata", lambda request: httpx.Response(200, json={"kind": "Status"})),
    ("connection refused", refused_connection),
)
def test_failing_api_server_causes_back_off(fault: Any) -> None:
    @scenario(stored={"revision": 3})
    async def body(world: World) -> None:
        world.responses = [fault] * 5
        world.turn("web", "1/1")
        await world.settle(0.04)
        world.writers.wake("web")
        await world.settle()
        assert world.status() == {"revision": 4, "ready": "1/1"}
        patches = world.patches()
        pauses = [round(later - sooner - 0.01, 3) for sooner, later in pairwise(patches)]
        assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8]
        assert (world.publisher.counters.errors, world.publisher.counters.writes) == (5, 1)

    body()


@scenario()
async def test_retry_after_delays_every_write(world: World) -> None:
    for name in ("web", "db"):
        world.put(name, {"revision": 3})
    await world.settle(1)
    world.responses = [lambda request: refusal(429, "TooManyRequests", **{"Retry-After": "7"})]
    world.turn("web", "1/1")
    await world.settle(1)
    world.turn("db", "1/1")
    await world.settle()
    assert world.sent == [(1.0, "PATCH", "web"), (8.01, "PATCH", "web"), (8.02, "PATCH", "db")]


@scenario(stored={"revision": 3})
async def test_normalized_status_is_not_rewritten_endlessly(world: World) -> None:

    def prunes(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PATCH":
            return None
        return httpx.Response(200, json=world.put("web", {"revision": world.status()["revision"] + 1}))

    world.responses = [prunes] * 1_000
    world.turn("web", "1/1")
    await world.settle()
    assert len(world.patches()) == 1
    world.turn("web", "2/1")
    await world.settle()
    assert len(world.patches()) == 2


@scenario(latency=0.4)
async def test_close_finishes_writes_in_flight(world: World) -> None:
    for name in ("flight", "ready", "held"):
        world.put(name, {"revision": 3})
    await world.settle(1)
    world.responses = [lambda request: refusal(500, "InternalError")] * 6
    world.turn("held", "1/1")
    await world.settle(4)  # 6 times 0.4 s, and the pauses between them: the next is due after 5.55 s
    world.turn("flight", "1/2")
    await world.settle(0.1)
    world.turn("flight", "2/2")
    began = world.loop.time()
    await world.publisher.close(within=1.0)
    assert world.loop.time() - began == pytest.approx(0.7), "0.3 s of the one in flight, 0.4 s of what came meanwhile"
    assert world.status("flight") == {"revision": 5, "ready": "2/2"}
    assert world.status("held") == {"revision": 3}, "what waits out a pause is the next owner's"
    world.turn("ready", "1/1")
    await world.settle()
    assert world.status("ready") == {"revision": 3}


@scenario(latency=60.0)
async def test_close_is_bounded_in_time(world: World) -> None:
    for name in ("one", "two"):
        world.wanted[name] = "1/1"
        world.put(name, None)
    await world.settle(1)
    world.turn("one", "2/2")
    began = world.loop.time()
    await world.publisher.close(within=0.5)
    assert world.loop.time() - began == pytest.approx(0.5)
    assert world.sent == [(0.002, "PATCH", "one")]


@scenario()
async def test_exception_for_one_object_delays_it_alone(world: World) -> None:
    world.broken = {"odd"}
    for name in ("odd", "web"):
        world.put(name, None)
        world.turn(name, "1/1")
    await world.settle(10)
    assert [name for _, _, name in world.sent] == ["web"]
    world.broken = set()
    await world.settle(FAULT_SECONDS)
    assert [name for _, _, name in world.sent] == ["web", "odd"]


@scenario()
async def test_newer_foreign_status_is_reported_before_evaluation(world: World) -> None:
    world.wanted["web"] = "2/2"
    world.put("web", {"ready": "2/2", "revision": 4})
    await world.settle(1)
    assert world.rivals == [], "what is seen first is not another client's"
    world.put("web", {"ready": "1/2", "revision": 5})
    await world.settle(1)
    assert world.rivals == ["1/2"]
    world.put("web", {"ready": "0/2", "revision": world.status()["revision"]})
    await world.settle()
    assert world.rivals == ["1/2"], "what overwrites without a higher revision is stale, and no rival"
    assert world.status()["ready"] == "2/2"


@scenario()
async def test_write_with_a_lost_response_is_neither_repeated_nor_foreign(world: World) -> None:
    def stored_but_not_heard(request: httpx.Request) -> httpx.Response | None:
        world.serve(request, "web")
        raise httpx.ReadError("cut")

    world.wanted["web"] = "2/2"
    world.put("web", {"ready": "1/2", "revision": 4})
    await world.settle(1)
    world.turn("web", "1/2")
    await world.settle(1)
    world.responses.append(stored_but_not_heard)
    world.turn("web", "0/2")
    await world.settle(1)
    assert (world.status()["ready"], len(world.patches())) == ("0/2", 3)
    world.turn("web", "2/2")
    await world.settle()
    assert (world.status()["ready"], len(world.patches())) == ("2/2", 4)
    assert world.rivals == []


def responses(window: ConcurrencyLimit, *seconds: float, began: float = 0.0) -> list[int]:
    """The sizes after responses that took so long, all begun at once and not alone."""
    sizes = []
    for each in seconds:
        window.answered(began, began + each, alone=False)
        sizes.append(window.size)
    return sizes


def test_growing_latency_halves_the_limit_once() -> None:
    window = ConcurrencyLimit(8)
    window.answered(0.0, 0.1, alone=True)
    assert responses(window, *[0.1] * 40)[-1] == 8
    late = 0.1 + WAITING_SECONDS * 1.01
    assert responses(window, *[late] * 8, began=10.0) == [4] * 8
    assert responses(window, late, began=11.0) == [2]
    assert responses(window, late, began=12.0) == [1]
    assert responses(window, late, began=13.0) == [1], "and one it is at least"


@pytest.mark.parametrize(("then", "size"), [(0.1, 1), (2.0, 2)])
def test_minimum_latency_is_measured_again(then: float, size: int) -> None:
    window = ConcurrencyLimit(8)
    window.answered(0.0, 0.1, alone=True)
    window.rest()
    assert window.size == 1
    window.answered(10.0, 10.0 + then, alone=True)
    window.rest()
    window.answered(20.0, 22.0, alone=False)
    assert window.size == size


@scenario()
async def test_only_recently_changed_objects_wait_for_metacontroller(world: World) -> None:
    """Metacontroller syncs five objects at a time, in the order of their changes."""
    world.put("old", {"observedGeneration": 1}, generation=1)
    await world.settle(1)
    names = [f"web{number}" for number in range(8)]
    for name in names:
        world.wanted[name] = "1/1"
        world.put(name, None, generation=1)
        await world.settle(0.01)
    await world.settle(3)
    assert {name for name in names if world.status(name)} == {"web5", "web6", "web7"}
    assert world.patches() == [1.552, 1.562, 1.572], "half a second after each was created"
    world.put("web0", {"observedGeneration": 1})
    await world.settle(2.1)
    assert world.status("web0")["revision"] == 1


@scenario(stored={"ready": "3/3", "revision": 3})
async def test_transition_waits_for_slow_probes_50_ms_at_most(world: World) -> None:
    world.probing.add("web")
    world.turn("web", "2/3")
    await world.settle()
    assert world.patches() == [1.05]


@scenario()
async def test_new_spec_waits_for_metacontroller(world: World) -> None:
    world.wanted["web"] = "1/1"
    world.put("web", {"ready": "1/1", "revision": 3, "observedGeneration": 1}, generation=1)
    await world.settle(10)
    world.put("web", {"ready": "1/1", "revision": 3, "observedGeneration": 1}, generation=2)
    await world.settle(0.2)
    world.turn("web", "1/2")
    world.put("web", {"ready": "1/1", "revision": 3, "observedGeneration": 2})
    await world.settle()
    assert world.patches() == [10.702]

"""The list/watch loop against scripted responses, in a time that only its own pauses move.

Each fact about a real API server that the loop must respect (seen on 1.36.3) is a test here or in test_client.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import pytest

from probe_sidecar.kube import reflector
from probe_sidecar.kube.client import KubeClient, Resource, Selection
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.reflector import Reflector, Reflectors
from tests.cases import cases
from tests.until import beside, until

CRS = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")

Change = tuple[dict[str, str], frozenset[str]]
"""Arguments of a call: versions by uid, and the uids that changed."""


def cr(uid: str, version: int) -> Object:
    return {"metadata": {"name": uid, "namespace": "shop", "uid": uid, "resourceVersion": str(version)}}


def listing(version: int, *objects: Object) -> httpx.Response:
    return httpx.Response(200, json={"metadata": {"resourceVersion": str(version)}, "items": list(objects)})


def event(kind: str, item: Object) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"kind": "ExternalService", "metadata": {"resourceVersion": str(version)}})


def error(code: int, reason: str, **details: Any) -> Object:
    return {"kind": "Status", "code": code, "reason": reason, "message": "why"} | (
        {"details": details} if details else {}
    )


EXPIRED = event("ERROR", error(410, "Expired"))


class Stream(httpx.AsyncByteStream):
    """A watch: bytes are sent, numbers are seconds that pass, an exception ends it; without one the server ends it."""

    def __init__(self, world: "World", parts: tuple[Any, ...]) -> None:
        self.world = world
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, bytes):
                yield part
            else:
                self.world.now += part


class World:
    """Responds to requests from a script, and stops the reflector at its end."""

    def __init__(self, *script: Any, on_change: Callable[..., None] | None = None) -> None:
        self.script = list(script)
        self.now = 100.0
        self.pauses: list[float] = []
        self.requests: list[str] = []
        self.next = ""  # what was asked for when the script was through
        self.changes: list[Change] = []
        self.done = asyncio.Event()
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.handle), base_url="http://api")
        self.reflector = Reflector(
            KubeClient(http),
            Selection(CRS),
            on_change or self.on_change,
            clock=lambda: self.now,
            sleep=self.sleep,
            random=lambda: 0.0,
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 3))
        self.now += seconds

    def on_change(self, objects: Mapping[str, Object], changed: frozenset[str], _first: bool) -> None:
        self.changes.append(({uid: raw["metadata"]["resourceVersion"] for uid, raw in objects.items()}, changed))

    async def handle(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        asked = f"watch from {query['resourceVersion']}" if "watch" in query else "list"
        if not self.script:
            self.next = asked
            self.done.set()
            await asyncio.Event().wait()
        self.requests.append(asked)
        response = self.script.pop(0)
        if isinstance(response, Exception):
            raise response
        if isinstance(response, tuple):
            assert "watch" in query, "a list was asked for, the script has a watch"
            return httpx.Response(200, stream=Stream(self, response))
        assert isinstance(response, httpx.Response)
        return response

    async def play(self) -> None:
        async with beside(self.reflector.run()), asyncio.timeout(10):
            await self.done.wait()


LASTED = 240.0


async def test_every_change_delivers_the_complete_set() -> None:
    world = World(
        listing(10, cr("a", 5), cr("b", 6)),
        (
            event("ADDED", cr("c", 11)),
            event("MODIFIED", cr("a", 12)) + event("DELETED", cr("b", 13)),
            LASTED,
        ),
    )
    await world.play()
    assert world.changes == [
        ({"a": "5", "b": "6"}, frozenset({"a", "b"})),
        ({"a": "5", "b": "6", "c": "11"}, frozenset({"c"})),
        ({"a": "12", "b": "6", "c": "11"}, frozenset({"a"})),
        ({"a": "12", "c": "11"}, frozenset({"b"})),
    ]


async def test_metadata_that_is_never_read_is_dropped() -> None:
    managed = [cr(uid, version) for uid, version in (("a", 5), ("b", 11))]
    for one in managed:
        one["metadata"]["managedFields"] = [{"manager": "kubectl"}]
        one["metadata"] |= {
            "annotations": {"mine": "a"},
            "labels": {"mine": "a"},
            "ownerReferences": [],
            "finalizers": [],
        }
    world = World(listing(10, managed[0]), (event("ADDED", managed[1]), LASTED))
    await world.play()
    kept = [cr(uid, version) for uid, version in (("a", 5), ("b", 11))]
    assert dict(world.reflector.objects) == {"a": kept[0], "b": kept[1]}


async def test_ended_watch_resumes_immediately() -> None:
    world = World(listing(10), (event("ADDED", cr("a", 11)), LASTED), (LASTED, bookmark(50)), (LASTED,))
    await world.play()
    assert world.requests == ["list", "watch from 10", "watch from 11", "watch from 50"]
    assert world.pauses == []


async def test_watches_that_end_at_once_back_off() -> None:
    world = World(listing(10), *[()] * 9)
    await world.play()
    assert world.requests == ["list", *["watch from 10"] * 9]
    assert world.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_expired_version_relists_and_shows_deletions() -> None:
    world = World(
        listing(10, cr("a", 5), cr("b", 6), cr("c", 7)),
        (EXPIRED,),
        listing(90, cr("a", 5), cr("c", 80), cr("d", 81)),
        (LASTED,),
    )
    await world.play()
    assert world.requests == ["list", "watch from 10", "list", "watch from 90"]
    assert world.changes[-1] == ({"a": "5", "c": "80", "d": "81"}, frozenset({"b", "c", "d"}))
    assert world.pauses == [0.05]


async def test_idle_watch_times_out_and_relists() -> None:
    """A dead connection, or a version from the future (etcd restored from a backup): 200, and no response for good."""
    world = World(listing(900, cr("a", 800)), (72.0, httpx.ReadTimeout("")), listing(50, cr("a", 40)), (LASTED,))
    await world.play()
    assert world.requests == ["list", "watch from 900", "list", "watch from 50"]
    assert world.changes[-1] == ({"a": "40"}, frozenset({"a"})), "an older version than the one held, and yet the truth"


async def test_idle_timeout_exceeds_the_bookmark_interval() -> None:
    timeouts = []

    def handle(request: httpx.Request) -> httpx.Response:
        if "watch" not in request.url.params:
            return listing(10)
        timeouts.append(request.extensions["timeout"]["read"])
        raise asyncio.CancelledError

    client = KubeClient(httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://api"))
    with pytest.raises(asyncio.CancelledError):
        await Reflector(client, Selection(CRS), lambda *_: None).run()
    (idle,) = timeouts
    assert 70 <= idle <= 75


async def test_outage_keeps_the_set_and_backs_off() -> None:
    refused = httpx.ConnectError("refused")
    world = World(
        listing(10, cr("a", 5)),
        (LASTED, httpx.ReadError("reset")),
        *[refused] * 9,
        (event("MODIFIED", cr("a", 11)), LASTED),
    )
    await world.play()
    assert world.requests == ["list", *["watch from 10"] * 11], "what was seen needs no new list"
    assert world.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert world.changes == [({"a": "5"}, frozenset({"a"})), ({"a": "11"}, frozenset({"a"}))]


async def test_watch_that_never_ends_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    watches = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"\n"
            await asyncio.sleep(0.01)

    def handle(request: httpx.Request) -> httpx.Response:
        if "watch" not in request.url.params:
            return listing(10)
        watches.append(request.url.params["resourceVersion"])
        return httpx.Response(200, content=endless())

    monkeypatch.setattr(reflector, "WATCH_SECONDS", 0)
    client = KubeClient(httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://api"))
    async with beside(Reflector(client, Selection(CRS), lambda *_: None, idle=0.05).run()):
        await until(lambda: len(watches) == 2)
    assert watches == ["10", "10"]


async def test_watches_that_end_after_an_event_back_off() -> None:
    world = World(listing(10), *[(bookmark(11),)] * 6, (LASTED,))
    await world.play()
    assert world.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6]


INITIALIZING = httpx.Response(429, json=error(429, "TooManyRequests"), headers={"Retry-After": "3"})


@cases(
    "response resumed",
    ("429 storage is (re)initializing", INITIALIZING, True),
    ("503 with details", httpx.Response(503, json=error(503, "ServiceUnavailable", retryAfterSeconds=3)), True),
    ("429 in the stream", (event("ERROR", error(429, "TooManyRequests", retryAfterSeconds=3)),), True),
    ("504 too large version", httpx.Response(504, json=error(504, "Timeout", retryAfterSeconds=3)), False),
)
async def test_retry_after_is_honoured(response: Any, resumed: bool) -> None:
    world = World(listing(10), response, *([] if resumed else [listing(20)]), (LASTED,))
    await world.play()
    assert world.pauses == [3.0]
    assert world.requests[2] == ("watch from 10" if resumed else "list")


@cases(
    "response",
    ("410", httpx.Response(410, json=error(410, "Gone"))),
    ("500, as for a version that is no number", httpx.Response(500, json=error(500, "InternalError"))),
    ("404: the CRD is gone", httpx.Response(404, json=error(404, "NotFound"))),
    ("a line that is not JSON", (b"<html>log in</html>\n",)),
    ("a line that is no event", (b"[1]\n",)),
    ("an unknown event", (event("RENAMED", cr("a", 11)),)),
    ("an event without an object", (b'{"type":"ADDED","object":"a"}\n',)),
    ("an object without a name", (event("ADDED", {"metadata": {"resourceVersion": "11"}}),)),
    ("an object without a version", (event("ADDED", {"metadata": {"name": "a", "uid": "a"}}),)),
    ("a bookmark without a version", (event("BOOKMARK", {"metadata": {}}),)),
    ("an error without a code", (event("ERROR", {"kind": "odd"}),)),
)
async def test_malformed_event_causes_a_relist(response: Any) -> None:
    world = World(listing(10, cr("a", 5)), response, listing(20, cr("a", 5)), (LASTED,))
    await world.play()
    assert world.requests == ["list", "watch from 10", "list", "watch from 20"]
    assert world.pauses == [0.05]
    assert world.changes == [({"a": "5"}, frozenset({"a"}))], "nothing vanished, nothing came"


@cases(
    "response",
    ("410", httpx.Response(410, json=error(410, "Expired"))),
    ("a list without metadata", httpx.Response(200, json={"items": []})),
    ("a list without a version", httpx.Response(200, json={"items": [], "metadata": {}})),
    ("items that are a map", httpx.Response(200, json={"items": {}, "metadata": {"resourceVersion": "9"}})),
    ("no objects in it", httpx.Response(200, json={"metadata": {"resourceVersion": "9"}, "items": [7]})),
    ("a page of a proxy", httpx.Response(200, text="<html>")),
)
async def test_failed_list_keeps_the_set(response: httpx.Response) -> None:
    world = World(listing(10, cr("a", 5)), (EXPIRED,), response, listing(20, cr("a", 5)), (LASTED,))
    await world.play()
    assert world.changes == [({"a": "5"}, frozenset({"a"}))]


async def test_blank_lines_and_repeated_events_are_ignored() -> None:
    world = World(
        listing(10, cr("a", 5)),
        (b"\n", event("MODIFIED", cr("a", 5)), event("DELETED", cr("ghost", 12)), b"\n", LASTED),
    )
    await world.play()
    assert (world.requests, world.next) == (["list", "watch from 10"], "watch from 12")
    assert world.changes == [({"a": "5"}, frozenset({"a"}))]


async def test_last_contact_is_the_time_of_the_last_message() -> None:
    world = World(
        listing(10), (30.0, bookmark(11), 60.0, bookmark(12), 72.0, httpx.ReadTimeout("")), httpx.Response(500)
    )
    assert world.reflector.last_contact == 100.0
    await world.play()
    assert world.reflector.last_contact == 190.0


def in_namespace(namespace: str, name: str) -> Object:
    uid = f"{namespace}-{name}"
    return {"metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "1"}}


class Quiet(httpx.AsyncByteStream):
    """A watch with one event and then none."""

    def __init__(self, *events: Object) -> None:
        self.events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self.events:
            yield json.dumps(event).encode() + b"\n"
        await asyncio.Event().wait()


class Cluster:
    """Answers LISTs by namespace; a namespace without a response is forbidden."""

    def __init__(self, listed: dict[str, list[Object]]) -> None:
        self.listed = listed
        self.watched: dict[str, tuple[Object, ...]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.calls: list[tuple[list[str], list[str], bool]] = []
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.handle), base_url="http://api")
        self.client = KubeClient(http)

    def handle(self, request: httpx.Request) -> httpx.Response:
        place = request.url.path.removeprefix("/apis/eso.crowdfox.com/v1alpha1/").removesuffix("externalservices")
        self.asked.append((place, request.url.params.get("labelSelector")))
        if place not in self.listed:
            return httpx.Response(403, json={"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"})
        if "watch" in request.url.params:
            return httpx.Response(200, stream=Quiet(*self.watched.get(place, ())))
        return httpx.Response(200, json={"metadata": {"resourceVersion": "1"}, "items": self.listed[place]})

    def note(self, objects: object, changed: frozenset[str], first: bool) -> None:
        assert isinstance(objects, dict)
        self.calls.append((sorted(objects), sorted(changed), first))

    async def run(self, *namespaces: str, labels: str = "", count: int) -> Reflectors:
        """Run until so many changes have been shown, and a moment longer."""
        reflectors = Reflectors(self.client, CRS, self.note, namespaces=namespaces, labels=labels)
        async with beside(reflectors.run()):
            await until(lambda: len(self.calls) >= count)
        return reflectors


async def test_each_namespace_is_listed_and_watched() -> None:
    cluster = Cluster({"namespaces/a/": [in_namespace("a", "x")], "namespaces/b/": []})
    cluster.watched["namespaces/b/"] = ({"type": "ADDED", "object": in_namespace("b", "y")},)
    reflectors = await cluster.run("a", "b", labels="shard=1", count=3)
    assert cluster.calls == [(["a-x"], ["a-x"], True), ([], [], True), (["b-y"], ["b-y"], False)]
    assert set(cluster.asked) == {("namespaces/a/", "shard=1"), ("namespaces/b/", "shard=1")}
    assert sorted(reflectors.uids()) == ["a-x", "b-y"]
    assert reflectors.get("b-y") == in_namespace("b", "y")
    assert reflectors.get("c-z") is None


async def test_forbidden_namespace_is_named_and_affects_no_other() -> None:
    cluster = Cluster({"namespaces/a/": [in_namespace("a", "x")]})
    reflectors = await cluster.run("a", "b", "c", count=1)
    assert cluster.calls == [(["a-x"], ["a-x"], True)]
    assert reflectors.unlisted == "b, c"

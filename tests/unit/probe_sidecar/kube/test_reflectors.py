"""Several namespaces seen as one: each has its own LIST and watch, and what is missing is named."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx

from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.reflector import Reflectors

CRS = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")


def cr(namespace: str, name: str) -> Object:
    uid = f"{namespace}-{name}"
    return {"metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "1"}}


class Quiet(httpx.AsyncByteStream):
    """A watch in which one object comes, and then nothing more happens."""

    def __init__(self, *events: Object) -> None:
        self.events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self.events:
            yield json.dumps(event).encode() + b"\n"
        await asyncio.Event().wait()


class Cluster:
    """Answers LISTs by namespace; a namespace without an answer is forbidden."""

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

    async def run(self, *namespaces: str, labels: str = "", until: int) -> Reflectors:
        """Until so many changes have been shown, and a moment more."""
        reflectors = Reflectors(self.client, CRS, self.note, namespaces=namespaces, labels=labels)
        task = asyncio.create_task(reflectors.run())
        async with asyncio.timeout(5):
            while len(self.calls) < until:
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return reflectors


async def test_all_namespaces_use_one_list() -> None:
    cluster = Cluster({"": [cr("a", "x"), cr("b", "y")]})
    reflectors = await cluster.run(until=1)
    assert cluster.calls == [(["a-x", "b-y"], ["a-x", "b-y"], True)]
    assert cluster.asked[0] == ("", None)
    assert (reflectors.unlisted, sorted(reflectors.uids())) == (None, ["a-x", "b-y"])


async def test_each_namespace_is_listed_and_watched() -> None:
    cluster = Cluster({"namespaces/a/": [cr("a", "x")], "namespaces/b/": []})
    cluster.watched["namespaces/b/"] = ({"type": "ADDED", "object": cr("b", "y")},)
    reflectors = await cluster.run("a", "b", labels="shard=1", until=3)
    assert cluster.calls == [(["a-x"], ["a-x"], True), ([], [], True), (["b-y"], ["b-y"], False)]
    assert set(cluster.asked) == {("namespaces/a/", "shard=1"), ("namespaces/b/", "shard=1")}
    assert sorted(reflectors.uids()) == ["a-x", "b-y"]
    assert reflectors.get("b-y") == cr("b", "y")
    assert reflectors.get("c-z") is None


async def test_forbidden_namespace_is_named_and_affects_no_other() -> None:
    cluster = Cluster({"namespaces/a/": [cr("a", "x")]})
    reflectors = await cluster.run("a", "b", "c", until=1)
    assert cluster.calls == [(["a-x"], ["a-x"], True)]
    assert reflectors.unlisted == "b, c"

"""Lists and watches, and every odd corner of them that was seen on a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from playground.client import EXTERNAL_SERVICES as ES
from playground.client import ApiClient
from tests.faults import FaultyServer
from tests.parents import raw_parent

ALL = ES.path()
DEADLINE = 5


def web(name: str, **labels: str) -> dict[str, Any]:
    return raw_parent(metadata={"name": name, "namespace": "default", "labels": labels})


@asynccontextmanager
async def watching(http: httpx.AsyncClient, **params: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with http.stream("GET", ALL, params={"watch": "true"} | params) as response:
        assert response.status_code == 200

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                yield orjson.loads(line)

        yield events()


async def following(events: AsyncIterator[dict[str, Any]], count: int) -> list[tuple[str, str]]:
    async with asyncio.timeout(DEADLINE):
        found = [await anext(events) for _ in range(count)]
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in found]


async def test_watch_without_revision_adds_all_in_name_order(server: FaultyServer, http: httpx.AsyncClient) -> None:
    for name in ("b", "a"):
        server.create(web(name))
    async with watching(http) as events:
        assert await following(events, 2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_future_revision_waits_and_its_list_is_504(server: FaultyServer, http: httpx.AsyncClient) -> None:
    future = str(server.storage.revision + 1000)
    params = {"resourceVersion": future, "timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    async with watching(http, **params) as events:
        server.create(web("a"))
        assert [event async for event in events] == []
    response = await http.get(ALL, params={"resourceVersion": future})
    assert response.status_code == 504
    assert response.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_timeout_ends_the_watch_with_a_bookmark(server: FaultyServer, http: httpx.AsyncClient) -> None:
    params = {"resourceVersion": str(server.storage.revision), "timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    async with watching(http, **params) as events, asyncio.timeout(DEADLINE):
        kinds = [(event["type"], event["object"]["metadata"]["resourceVersion"]) async for event in events]
    assert kinds == [("BOOKMARK", str(server.storage.revision))]
    async with watching(http, **params | {"allowWatchBookmarks": "false"}) as events, asyncio.timeout(DEADLINE):
        assert [event async for event in events] == []
    assert not server.storage.watchers


async def test_object_leaving_the_selector_is_a_deletion(server: FaultyServer, http: httpx.AsyncClient) -> None:
    server.create(web("a", tier="front"))
    server.create(web("b", tier="back"))
    for selector in ("tier=front", "tier in (front, side)", "tier!=back,tier", "tier notin (back)"):
        listed = (await http.get(ALL, params={"labelSelector": selector})).json()["items"]
        assert [one["metadata"]["name"] for one in listed] == ["a"], selector
    by_name = (await http.get(ALL, params={"fieldSelector": "metadata.name=b"})).json()["items"]
    assert [one["metadata"]["name"] for one in by_name] == ["b"]
    assert (await http.get(ALL, params={"fieldSelector": "spec.port=80"})).status_code == 400
    revision = str(server.storage.revision)
    async with watching(http, resourceVersion=revision, labelSelector="tier=front") as events:
        for name, tier in (("b", "front"), ("a", "back")):
            patch = {"metadata": {"labels": {"tier": tier}}}
            await ApiClient(http, "tester").patch(ES.path("default", name), patch)
        assert await following(events, 2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_paged_list_is_a_snapshot(server: FaultyServer, http: httpx.AsyncClient) -> None:
    for name in "abc":
        server.create(web(name))
    first = (await http.get(ALL, params={"limit": "2"})).json()
    server.create(web("bb"))
    following = {"limit": "2", "continue": first["metadata"]["continue"]}
    rest = (await http.get(ALL, params=following)).json()
    assert [one["metadata"]["name"] for one in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
    assert (await http.get(ALL, params=following)).status_code == 410


async def test_streaming_list_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.get(ALL, params={"watch": "true", "sendInitialEvents": "true"})
    assert response.status_code == 422
    assert "unless the WatchList feature gate is enabled" in response.json()["message"]

"""A small informer: a cache of the objects of one kind, and a call for every change."""

import asyncio
from collections.abc import Callable

import httpx

from playground.client import ApiClient, Kind, Refused
from playground.values import Object

Place = tuple[str, str]
OnChange = Callable[[Object | None, Object | None], None]

RETRY_SECONDS = 0.2


def place_of(obj: Object) -> Place:
    """Namespace and name."""
    return (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


class Informer:
    """`objects` is the cache. `on_change(old, new)` is called after the cache has changed; a deletion has no `new`."""

    def __init__(self, client: ApiClient, kind: Kind, on_change: OnChange) -> None:
        self.kind = kind
        self.objects: dict[Place, Object] = {}
        self.synced = asyncio.Event()
        self._client = client
        self._on_change = on_change

    async def run(self) -> None:
        """Lists and watches until cancelled; after a failure it begins again with a list."""
        while True:
            try:
                await self._list_and_watch()
            except (httpx.HTTPError, Refused):
                await asyncio.sleep(RETRY_SECONDS)

    async def _list_and_watch(self) -> None:
        answer = await self._client.get(self.kind.path())
        revision = answer["metadata"]["resourceVersion"]
        typed = {"apiVersion": self.kind.api_version, "kind": self.kind.kind}  # no items of a real server have these
        fresh = {place_of(obj): {**obj, **typed} for obj in answer["items"]}
        for place in self.objects.keys() - fresh.keys():
            self._on_change(self.objects.pop(place), None)
        for obj in fresh.values():
            self._store(obj)
        self.synced.set()
        while True:
            async for event in self._client.watch(self.kind.path(), revision):
                obj = event["object"]
                if event["type"] == "ERROR":
                    raise Refused(obj["code"], obj["reason"], obj["message"])
                revision = obj["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self.objects.pop(place_of(obj), None)
                    self._on_change(obj, None)
                elif event["type"] != "BOOKMARK":
                    self._store(obj)

    def _store(self, obj: Object) -> None:
        old = self.objects.get(place_of(obj))
        self.objects[place_of(obj)] = obj
        if old is None or old["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            self._on_change(old, obj)

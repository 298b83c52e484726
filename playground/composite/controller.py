"""A stand-in for Metacontroller's composite controller: cached parent, hook, dynamic apply, whole-status replacement.

It uses only HTTP, so that it runs against the playground's API and against a real kube-apiserver. Behaviour as read
in Metacontroller 4.17.2 (pkg/controller/composite, pkg/controller/common); left out: finalize, customize, revisions,
hook v1, ignoreStatusChanges, update strategies other than InPlace, and children of kinds that are not listed.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

import httpx

from playground.client import NAMESPACES, ApiClient, Refused
from playground.composite.children import (
    CONFLICT,
    NOT_FOUND,
    SELECTOR_LABEL,
    ChildManager,
    SyncError,
    controller_of,
    described,
    desired_children,
)
from playground.composite.config import CompositeConfig
from playground.composite.events import EventRecorder
from playground.composite.hook import HookFailed, TooManyRequests, call_hook, hook_request
from playground.composite.informer import RETRY_SECONDS, Informer, place_of
from playground.composite.workqueue import WorkQueue
from playground.values import Object, same

AGENT = "metacontroller/4.17.2 (stand-in)"
CONFLICT_TRIES = 4  # client-go retry.DefaultBackoff: 10 ms, factor 5, jitter 0.1
CONFLICT_SECONDS = 0.01
WORKERS = 5

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """`stale` are status writes that the API server refused as invalid (422)."""

    syncs: int = 0
    errors: int = 0
    stale: int = 0


class CompositeController:
    """`run()` until cancelled. `api` and `hook` are httpx clients with their base URLs; the caller closes both.

    `window` is how many seconds pass before the live GET of the parent and again before the PUT of its status, as when
    both wait for the client's rate limit.
    """

    def __init__(
        self,
        config: CompositeConfig,
        api: httpx.AsyncClient,
        hook: httpx.AsyncClient,
        *,
        window: float = 0.0,
    ) -> None:
        self.config = config
        self.window = window
        self.counts = Counts()
        self.queue = WorkQueue()
        self._client = ApiClient(api, AGENT)
        self._hook = hook
        self._events = EventRecorder(self._client, "metacontroller")
        self._parents: Informer
        self._manager: ChildManager

    async def run(self) -> None:
        """Discovers the resources, fills the caches, then syncs; never returns."""
        informers = await self._discover()
        try:
            async with asyncio.TaskGroup() as group:
                namespaces = Informer(self._client, NAMESPACES, lambda _old, _new: None)  # watched by Metacontroller
                for informer in (*informers, namespaces):
                    group.create_task(informer.run(), name=f"informer {informer.kind.plural}")
                for informer in informers:
                    await informer.synced.wait()
                for number in range(WORKERS):
                    group.create_task(self._work(), name=f"worker {number}")
                if self.config.resync_seconds is not None:
                    group.create_task(self._resync(self.config.resync_seconds), name="resync")
        finally:
            self.queue.close()
            await self._events.close()

    async def _discover(self) -> list[Informer]:
        while True:
            try:
                parent = await self._client.discover(*self.config.parent)
                kinds = [await self._client.discover(*child) for child in self.config.children]
                break
            except (httpx.HTTPError, Refused) as problem:
                log.info("discovery: %s", problem)
                await asyncio.sleep(RETRY_SECONDS)
        self._parents = Informer(self._client, parent, self._parent_changed)
        caches = {kind: Informer(self._client, kind, self._child_changed) for kind in kinds}
        self._manager = ChildManager(self._client, parent, caches)
        return [self._parents, *caches.values()]

    async def _resync(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            for place in list(self._parents.objects):
                self.queue.add("/".join(place))

    def _parent_changed(self, old: Object | None, new: Object | None) -> None:
        self.queue.add("/".join(place_of(new or old or {})))

    def _child_changed(self, old: Object | None, new: Object | None) -> None:
        """The controller of the child is synced; for an orphan every parent whose selector it matches."""
        child = new or old or {}
        owner = controller_of(child)
        if owner is None:
            uid = (child["metadata"].get("labels") or {}).get(SELECTOR_LABEL)
            matching = [parent for parent in self._parents.objects.values() if parent["metadata"]["uid"] == uid]
            for parent in matching if new else []:
                self.queue.add("/".join(place_of(parent)))
            return
        found = self._parents.objects.get((child["metadata"].get("namespace", ""), owner["name"]))
        if found and found["metadata"]["uid"] == owner["uid"]:
            self.queue.add("/".join(place_of(found)))

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._handle(key)
            finally:
                self.queue.done(key)

    async def _handle(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        parent = self._parents.objects.get((namespace, name))
        if parent is None or not self.config.selects(parent):
            self.queue.forget(key)
            return
        self.counts.syncs += 1
        try:
            await self._sync(parent)
        except TooManyRequests as later:
            self.queue.add_after(key, later.seconds)
        except (SyncError, HookFailed, Refused, httpx.HTTPError) as problem:
            self.counts.errors += 1
            self._events.warn(parent, "SyncError", f"Sync error: {problem}")
            delay = self.queue.add_rate_limited(key)
            log.info("%s: %s; again in %.3f s", key, problem, delay)
        else:
            self.queue.forget(key)

    async def _sync(self, parent: Object) -> None:
        """One sync, in Metacontroller's order. The status is written even if something failed with the children."""
        config = self.config
        observed = await self._manager.claim(parent)
        request = hook_request(config.manifest, parent, observed)
        answer = await call_hook(self._hook, config.hook_path, request, config.hook_timeout)
        if answer.resync_after > 0:
            self.queue.add_after("/".join(place_of(parent)), answer.resync_after)
        desired = desired_children(parent, answer.children, generate_selector=config.generate_selector)
        problems = []
        if "deletionTimestamp" not in parent["metadata"]:
            problems = await self._manager.manage(parent, observed, desired)
        await self._write_status(parent, answer.status)
        if problems:
            raise SyncError(f"can't reconcile children for {described(parent)}: {'; '.join(problems)}")

    async def _write_status(self, parent: Object, status: Object) -> None:
        """GET live, replace the whole status, PUT if that differs; after four conflicts the write is given up."""
        wanted = {**status, "observedGeneration": parent["metadata"]["generation"]}
        for attempt in range(CONFLICT_TRIES):
            if attempt:
                await asyncio.sleep(CONFLICT_SECONDS * 5 ** (attempt - 1) * random.uniform(1, 1.1))
            if not await self._conflicts(parent, wanted):
                return

    async def _conflicts(self, parent: Object, wanted: Object) -> bool:
        """One try; whether the object changed between GET and PUT."""
        place = place_of(parent)
        try:
            await asyncio.sleep(self.window)
            live = await self._client.get(self._parents.kind.path(*place))
            if live["metadata"]["uid"] != parent["metadata"]["uid"] or same(live.get("status"), wanted):
                return False
            await asyncio.sleep(self.window)
            await self._client.replace(self._parents.kind.path(*place, "status"), {**live, "status": wanted})
        except Refused as refusal:
            if refusal.code in (CONFLICT, NOT_FOUND):
                return refusal.code == CONFLICT
            self.counts.stale += refusal.reason == "Invalid"
            raise SyncError(f"can't update status for {described(parent)}: {refusal}") from refusal
        return False

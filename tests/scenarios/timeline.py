"""Every state of an Endpoints object and of a status, in the order in which a watch showed them, with its time."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from playground.client import ENDPOINTS, EXTERNAL_SERVICES, ApiClient, readiness
from playground.composite.informer import Informer

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """One state: when it was seen (time.monotonic), and for each address whether it is ready."""

    at: float
    ready: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class StatusMoment:
    """One status: when it was seen (time.monotonic), its revision and, for each address, (ready, message)."""

    at: float
    revision: int
    addresses: Mapping[str, tuple[bool, str]]


@dataclass(slots=True)
class Timeline:
    """The recorded states; `Follower` fills it."""

    published: list[Moment] = field(default_factory=list)
    statuses: list[StatusMoment] = field(default_factory=list)

    @property
    def ready(self) -> Mapping[str, bool]:
        """The published addresses now; empty without Endpoints."""
        return self.published[-1].ready if self.published else {}

    @property
    def status(self) -> Mapping[str, tuple[bool, str]]:
        """The addresses of the status now."""
        return self.statuses[-1].addresses if self.statuses else {}

    def since(self, at: float) -> list[Moment]:
        """The states published after a moment."""
        return [moment for moment in self.published if moment.at > at]


class Follower:
    """Watches the Endpoints and the status of one ExternalService into a Timeline until it is left."""

    def __init__(self, client: ApiClient, namespace: str, name: str) -> None:
        self._place = (namespace, name)
        self._timeline = Timeline()
        self._informers = [
            Informer(client, ENDPOINTS, self._endpoints_changed),
            Informer(client, EXTERNAL_SERVICES, self._parent_changed),
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Timeline:
        self._tasks = [asyncio.create_task(informer.run()) for informer in self._informers]
        for informer in self._informers:
            await informer.synced.wait()
        return self._timeline

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ours(self, obj: Object | None) -> bool:
        return obj is not None and (obj["metadata"]["namespace"], obj["metadata"]["name"]) == self._place

    def _endpoints_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and self._ours(new):
            self._timeline.published.append(Moment(time.monotonic(), readiness(new)))

    def _parent_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and self._ours(new):
            status = new.get("status") or {}
            addresses = {one["ip"]: (one["ready"], one.get("message", "")) for one in status.get("addresses") or ()}
            self._timeline.statuses.append(StatusMoment(time.monotonic(), status.get("revision", 0), addresses))

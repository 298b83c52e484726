"""Every state of an Endpoints object and of a status, in the order in which a watch showed them, with its time."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playground.client import ENDPOINTS, EXTERNAL_SERVICES, ApiClient, readiness
from playground.composite.informer import Informer
from tests.until import beside

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
    """The recorded states; `followed` fills it."""

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


@asynccontextmanager
async def followed(client: ApiClient, namespace: str, name: str) -> AsyncIterator[Timeline]:
    """Watches the Endpoints and the status of one ExternalService into a Timeline while the block lasts."""
    timeline = Timeline()

    def is_it(obj: Object) -> bool:
        return (obj["metadata"]["namespace"], obj["metadata"]["name"]) == (namespace, name)

    def endpoints_changed(_old: Object | None, new: Object | None) -> None:
        if new is not None and is_it(new):
            timeline.published.append(Moment(time.monotonic(), readiness(new)))

    def parent_changed(_old: Object | None, new: Object | None) -> None:
        if new is not None and is_it(new):
            status = new.get("status") or {}
            addresses = {one["ip"]: (one["ready"], one.get("message", "")) for one in status.get("addresses") or ()}
            timeline.statuses.append(StatusMoment(time.monotonic(), status.get("revision", 0), addresses))

    informers = Informer(client, ENDPOINTS, endpoints_changed), Informer(client, EXTERNAL_SERVICES, parent_changed)
    async with beside(*(informer.run() for informer in informers)):
        for informer in informers:
            await informer.synced.wait()
        yield timeline


@asynccontextmanager
async def following(client: ApiClient, namespace: str, tell: Callable[[str, bool | None], None]) -> AsyncIterator[None]:
    """Calls `tell(ip, ready)` for each change of an address in Endpoints of a namespace; None: it is gone."""

    def observe(old: Object | None, new: Object | None) -> None:
        if (new or old or {})["metadata"]["namespace"] != namespace:
            return
        before, after = (readiness(one) if one else {} for one in (old, new))
        for ip in before.keys() | after.keys():
            if before.get(ip) is not after.get(ip):
                tell(ip, after.get(ip))

    informer = Informer(client, ENDPOINTS, observe)
    async with beside(informer.run()):
        await informer.synced.wait()
        yield

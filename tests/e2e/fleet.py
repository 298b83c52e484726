"""A fleet: many small ExternalServices, what is published of them, and the times of their probes."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from math import ceil
from types import TracebackType
from typing import Any, NamedTuple, Self

from playground.client import ENDPOINTS, readiness
from playground.composite.informer import Informer
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.until import until

Object = dict[str, Any]

READY_SECONDS = 60.0
TOLD_SECONDS = 30.0


class Change(NamedTuple):
    """One address was published in another state than before: when (time.monotonic), and in which."""

    at: float
    ip: str
    ready: bool


class Fleet:
    """`async with Fleet(world, 12)`: 12 ExternalServices, probed once a second, out after two failures, all ready.

    Each has one address and `more` beside; `probe` changes their probes. What is published of any of them is followed
    until the end.
    """

    def __init__(self, world: World, count: int, *, more: int = 0, probe: Object | None = None) -> None:
        self.world = world
        self.addresses = {
            f"web-{number}": [f"10.20.{number // 25}.{number % 25 * 10 + last}" for last in range(1, more + 2)]
            for number in range(count)
        }
        self.changes: list[Change] = []
        self._probe = probe or {}
        self._published: dict[str, dict[str, bool]] = {}
        self._informer = Informer(world.client, ENDPOINTS, self._observe)
        self._stack = AsyncExitStack()

    @property
    def names(self) -> list[str]:
        return list(self.addresses)

    @property
    def ips(self) -> list[str]:
        return [ip for ips in self.addresses.values() for ip in ips]

    @property
    def period(self) -> float:
        """The period of the probes of an address, in seconds."""
        return float(self._probe.get("periodSeconds", 1))

    async def __aenter__(self) -> Self:
        following = asyncio.create_task(self._informer.run())
        self._stack.callback(following.cancel)
        await self._informer.synced.wait()
        await asyncio.gather(*(self.world.apply(self._manifest(name)) for name in self.addresses))
        await self.until_told(dict.fromkeys(self.ips, True), seconds=READY_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def kill(self, ips: Iterable[str], mode: Mode = Mode.ERROR) -> float:
        """Makes their backends fail; returns the moment. Backends that respond continue to count."""
        self.world.hosts.switch(list(ips), mode)
        return time.monotonic()

    def published(self) -> dict[str, bool]:
        """By address: whether it is published as ready."""
        return {ip: ready for states in self._published.values() for ip, ready in states.items()}

    async def until_told(self, states: dict[str, bool], *, seconds: float = TOLD_SECONDS) -> float:
        """Waits until these addresses are published so; returns the seconds, Late if that does not come about."""
        what = f"{len(states)} addresses published as they are"
        return await until(lambda: states.items() <= self.published().items(), what, seconds=seconds, every=0.02)

    def flips(self, since: float, *, but: Iterable[str] = ()) -> list[Change]:
        """The changes since a moment, but for those of these addresses."""
        left_out = set(but)
        return [change for change in self.changes if change.at > since and change.ip not in left_out]

    def first(self, since: float) -> dict[str, float]:
        """By address: the seconds from a moment to its next probe; those not probed since are missing."""
        times = self.world.hosts.times(self.ips)
        return {ip: min(later) - since for ip in self.ips if (later := [at for at in times[ip] if at > since])}

    def wrong_pace(self, begin: float, end: float) -> dict[str, int]:
        """The addresses that were probed between two moments more often than by one prober, or not at all.

        A second prober doubles the count. A single one may make one probe more, by its phase or a late start, and fewer
        on a busy machine.
        """
        times, due = self.world.hosts.times(self.ips), (end - begin) / self.period
        counts = {ip: sum(begin < at <= end for at in times[ip]) for ip in self.ips}
        return {ip: count for ip, count in counts.items() if not 1 <= count <= ceil(due) + 1}

    def _manifest(self, name: str) -> Object:
        manifest = external_service(name, self.addresses[name])
        manifest["spec"]["readinessProbe"] |= self._probe
        return manifest

    def _observe(self, old: Object | None, new: Object | None) -> None:
        endpoints = new or old
        if endpoints is None or endpoints["metadata"]["namespace"] != self.world.namespace:
            return
        name = endpoints["metadata"]["name"]
        before = self._published.get(name, {})
        after = readiness(endpoints) if new is not None else {}
        self._published[name] = after
        now = time.monotonic()
        for ip in before.keys() | after.keys():
            if ip in before and before[ip] != after.get(ip, False):
                self.changes.append(Change(now, ip, after.get(ip, False)))


def quantiles(values: Iterable[float]) -> tuple[float, float]:
    """The median and the largest; ValueError for none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[-1]

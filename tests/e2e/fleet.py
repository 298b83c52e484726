"""A fleet: many small ExternalServices, what is published of them, and the times of their probes."""

import asyncio
import time
from collections.abc import Iterable
from math import ceil
from typing import Any, NamedTuple, Self

from playground.client import ENDPOINTS, readiness
from playground.composite.informer import Informer
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.until import until

Object = dict[str, Any]


class Change(NamedTuple):
    """One address was published in another state than before: when (time.monotonic), and in which."""

    at: float
    ip: str
    ready: bool


class Fleet:
    """`async with Fleet(world, 12)`: 12 ExternalServices with one address each, probed once a second, out after two
    failures, all ready. What is published of any of them is followed until the end."""

    period = 1.0

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.addresses = {f"web-{number}": f"10.20.{number // 25}.{number % 25 * 10 + 1}" for number in range(count)}
        self.names, self.ips = [*self.addresses], [*self.addresses.values()]
        self.changes: list[Change] = []
        self._published: dict[str, bool] = {}
        self._informer = Informer(world.client, ENDPOINTS, self._observe)

    async def __aenter__(self) -> Self:
        self._following = asyncio.create_task(self._informer.run())
        await self._informer.synced.wait()
        await asyncio.gather(*(self.world.apply(external_service(name, [ip])) for name, ip in self.addresses.items()))
        await self.until_told(dict.fromkeys(self.ips, True), seconds=60)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._following.cancel()

    def kill(self, ips: Iterable[str]) -> None:
        """Makes their backends respond with an error; they continue to count."""
        self.world.hosts.switch(list(ips), Mode.ERROR)

    async def until_told(self, states: dict[str, bool], *, seconds: float = 30) -> float:
        """Waits until these addresses are published so; returns the seconds, Late if that does not come about."""
        what = f"{len(states)} addresses published as they are"
        return await until(lambda: states.items() <= self._published.items(), what, seconds=seconds, every=0.02)

    def flips(self, since: float) -> list[Change]:
        """The changes since a moment."""
        return [change for change in self.changes if change.at > since]

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

    def _observe(self, old: Object | None, new: Object | None) -> None:
        endpoints = new or old
        if endpoints is None or endpoints["metadata"]["namespace"] != self.world.namespace:
            return
        before, after = (readiness(one) if one else {} for one in (old, new))
        now = time.monotonic()
        for ip in before.keys() | after.keys():
            self._published[ip] = after.get(ip, False)
            if ip in before and before[ip] != after.get(ip, False):
                self.changes.append(Change(now, ip, after.get(ip, False)))


def quantiles(values: Iterable[float]) -> tuple[float, float]:
    """The median and the largest; ValueError for none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[-1]

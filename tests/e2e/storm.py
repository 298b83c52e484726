"""A storm of random faults in a world, from a seed, with a record of true states and faults.

Backends die and return; sidecars, hook, composite controller, API server and etcd are killed, stopped and cut off;
watches break; ExternalServices are created, changed and deleted. `judge` evaluates the record.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from playground.client import CONTROLLER, ENDPOINTS, Refused, readiness
from playground.composite.informer import Informer
from tests.e2e.backends import Mode
from tests.e2e.front import Answer, Front
from tests.e2e.judge import Record, Shown, Span, Turn
from tests.e2e.manifests import external_service
from tests.e2e.process import Process
from tests.e2e.world import HOOK, World

Object = dict[str, Any]

PERIOD, TIMEOUT = 2, 2
PROBES: tuple[Object, ...] = (
    {"httpGet": {"port": 8080, "path": "/healthz"}},
    {"httpGet": {"port": 8443, "scheme": "HTTPS"}},
    {"grpc": {"port": 9090}},
)
DEAD = (Mode.REFUSE, Mode.DROP, Mode.ERROR, Mode.SLOW)
REFUSALS = (Answer(500), Answer(503, b"no backend"), Answer(429, headers={"Retry-After": "1"}))
FEWEST, MOST = 30, 50
CONTROL_PLANE = "control plane"
ASKED_AGAIN = 0.2
SETTLING = 5.0
"""Seconds after a fault in which its consequences may still delay what is published: retries, lists, back-offs."""


@dataclass(slots=True)
class Service:
    """One ExternalService, and its addresses, which are never used again."""

    name: str
    number: int
    ips: list[str]
    probe: Object
    born: int = 0
    busy: bool = False

    def more(self) -> str:
        """Another address."""
        self.born += 1
        return f"10.{20 + 10 * (self.number // 250)}.{self.number % 250}.{self.born}"


@dataclass(slots=True)
class Storm:
    """`async with Storm(...)` follows what is published; `blow` for some seconds, as often as wanted.

    `deeds` counts the faults by name, `lease` is the seconds of the replicas' Leases. Between two storms all processes
    run without faults. Replica "a" is never ended, so that a leak would show.
    """

    world: World
    random: Random
    lease: int
    record: Record = field(default_factory=Record)
    services: dict[str, Service] = field(default_factory=dict)
    deeds: Counter[str] = field(default_factory=Counter)
    _modes: dict[str, Mode] = field(default_factory=dict)
    _made: int = 0
    _busy: set[str] = field(default_factory=set)
    _following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Storm":
        informer = Informer(self.world.client, ENDPOINTS, self._observe)
        self._following = asyncio.create_task(informer.run())
        await informer.synced.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._following is not None
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    @property
    def ips(self) -> list[str]:
        """The addresses in the specs now."""
        return [ip for service in self.services.values() for ip in service.ips]

    @property
    def steadily_counted(self) -> list[str]:
        """The addresses whose backends receive every probe: neither dropped nor refused."""
        return [ip for ip in self.ips if self._modes.get(ip) not in (Mode.REFUSE, Mode.DROP)]

    async def populate(self, count: int) -> None:
        """Creates ExternalServices with five addresses on average."""
        for _ in range(count):
            await self._create()
        self.deeds.clear()

    async def blow(self, seconds: float) -> None:
        """Faults at random moments, several at a time; returns when all of them are over."""
        deeds = self._deeds()
        names, weights = list(deeds), [weight for weight, _ in deeds.values()]
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < end:
                name = self.random.choices(names, weights)[0]
                group.create_task(self._do(name, deeds[name][1]))
                await asyncio.sleep(self.random.uniform(0.1, 1.2))

    async def _do(self, name: str, deed: Callable[[], Awaitable[bool]]) -> None:
        if await deed():
            self.deeds[name] += 1

    def _deeds(self) -> dict[str, tuple[int, Callable[[], Awaitable[bool]]]]:
        """By name: how often, and the action, which returns False without an object to act on.

        Often enough that several coincide, and rarely enough that there is time without faults, which shows how long
        the product itself takes.
        """
        found: dict[str, tuple[int, Callable[[], Awaitable[bool]]]] = {
            "backend turned": (80, self._turn),
            "ExternalService created": (3, self._create),
            "ExternalService deleted": (3, self._delete),
            "ExternalService edited": (6, self._edit),
            "sidecar killed": (1, lambda: self._replica(self._killed, "a")),
            "sidecar stopped": (1, lambda: self._replica(self._stopped, "a")),
            "sidecar frozen": (1, lambda: self._replica(self._frozen)),
            "sidecar cut off": (1, lambda: self._replica(self._cut_off)),
            "sidecar refused": (1, lambda: self._replica(self._refused)),
            "watches of a sidecar cut": (1, lambda: self._replica(self._hung_up)),
            "hook killed": (1, lambda: self._told(HOOK, self._hook_down)),
            "hook answers an error": (1, lambda: self._told(HOOK, self._refusing_hook)),
            "composite controller killed": (1, lambda: self._told(CONTROLLER, self._composite_down)),
            "watches of the composite controller cut": (1, lambda: self._told(CONTROLLER, self._composite_cut)),
        }
        if self.world.api.ours:
            found["API server killed"] = (1, lambda: self._control_plane(self._api_down))
        if self.world.api.ours and self.world.api.kind == "real":
            found["etcd killed"] = (1, lambda: self._control_plane(self._etcd_down))
        return found

    # -- true states -------------------------------------------------------------------------------------------------

    async def _turn(self) -> bool:
        """Some addresses of one ExternalService, or a single one, as a host or a rack dies."""
        service = self._any()
        if service is None:
            return False
        ips = [self.random.choice(service.ips)] if self.random.random() < 0.8 else list(service.ips)
        for ip in ips:
            dead = self._modes.get(ip, Mode.HEALTHY) is not Mode.HEALTHY
            mode = Mode.HEALTHY if dead else self.random.choice([mode for mode in DEAD if self._can(mode)])
            self.record.truth[ip].append(Turn(time.monotonic(), mode is Mode.HEALTHY))
            self.world.hosts.switch(ip, mode)
            self._modes[ip] = mode
        return True

    def _can(self, mode: Mode) -> bool:
        return mode is not Mode.DROP or self.world.hosts.apart

    async def _create(self) -> bool:
        if len(self.services) >= MOST:
            return False
        self._made += 1
        service = Service(f"web-{self._made}", self._made, [], PROBES[self._made % len(PROBES)], busy=True)
        service.ips = [service.more() for _ in range(self.random.randint(3, 7))]
        self.services[service.name] = service
        self._name(service.ips)
        manifest = self._manifest(service, service.ips)
        await self._insist(lambda: self.world.apply(manifest), calm="AlreadyExists")
        service.busy = False
        return True

    async def _delete(self) -> bool:
        service = self._any() if len(self.services) > FEWEST else None
        if service is None:
            return False
        service.busy = True
        del self.services[service.name]
        self._unname(service.ips)
        await self._insist(lambda: self.world.delete(service.name), calm="NotFound")
        self.world.hosts.switch(service.ips, Mode.REFUSE)
        return True

    async def _edit(self) -> bool:
        """One address more, one less, or another probe, which keeps what is known (D7)."""
        service = self._any()
        if service is None:
            return False
        with self._held(service):
            what = self.random.choice(["more", "less", "probe"])
            if what == "more" and len(service.ips) < 12:
                fresh = service.more()
                self._name([fresh])
                self.world.hosts.set(self.world.places(self._manifest(service, [fresh])))
                service.ips.append(fresh)
            elif what == "less" and len(service.ips) > 2:
                self._unname([service.ips.pop(self.random.randrange(len(service.ips)))])
            else:
                service.probe = {**service.probe, "failureThreshold": self.random.choice([1, 2, 3])}
            spec = {"ips": list(service.ips), "readinessProbe": self._probe(service)}
            await self._insist(lambda: self.world.patch(service.name, {"spec": spec}))
        return True

    def _any(self) -> Service | None:
        free = [service for service in self.services.values() if not service.busy]
        return self.random.choice(free) if free else None

    @contextmanager
    def _held(self, service: Service) -> Iterator[None]:
        service.busy = True
        try:
            yield
        finally:
            service.busy = False

    def _manifest(self, service: Service, ips: list[str]) -> Object:
        manifest = external_service(service.name, ips)
        manifest["spec"]["readinessProbe"] = self._probe(service)
        return manifest

    def _probe(self, service: Service) -> Object:
        return {"periodSeconds": PERIOD, "timeoutSeconds": TIMEOUT, "failureThreshold": 2, **service.probe}

    def _name(self, ips: list[str]) -> None:
        now = time.monotonic()
        for ip in ips:
            self.record.wanted[ip] = Span(now, float("inf"))
            self.record.truth[ip] = [Turn(now, True)]

    def _unname(self, ips: list[str]) -> None:
        now = time.monotonic()
        for ip in ips:
            self.record.wanted[ip] = Span(self.record.wanted[ip].begin, now)

    async def _insist(self, ask: Callable[[], Awaitable[object]], calm: str = "") -> None:
        """Repeats a request until it is accepted: the API server may be down, or its response lost."""
        while True:
            try:
                await ask()
            except httpx.TransportError:
                pass
            except Refused as refusal:
                if refusal.reason == calm:
                    return
                if refusal.code < 429:
                    raise
            else:
                return
            await asyncio.sleep(ASKED_AGAIN)

    def _observe(self, old: Object | None, new: Object | None) -> None:
        endpoints = new or old
        if endpoints is None or endpoints["metadata"]["namespace"] != self.world.namespace:
            return
        now = time.monotonic()
        before, after = (readiness(one) if one else {} for one in (old, new))
        for ip in before.keys() | after.keys():
            if before.get(ip) is not after.get(ip):
                self.record.shown.setdefault(ip, []).append(Shown(now, after.get(ip)))

    # -- faults ---------------------------------------------------------------------------------------------------

    async def _replica(self, deed: Callable[[str], Awaitable[None]], *spared: str) -> bool:
        """A fault for a replica without one; its share is taken over when the Lease expires."""
        free = [letter for letter in self.world.replicas if letter not in self._busy and letter not in spared]
        if not free or CONTROL_PLANE in self._busy:
            return False
        letter = self.random.choice(free)
        async with self._disturbing(letter, self.record.absences, self.lease + SETTLING):
            await deed(letter)
        return True

    async def _told(self, who: str, deed: Callable[[], Awaitable[None]]) -> bool:
        if who in self._busy or CONTROL_PLANE in self._busy:
            return False
        async with self._disturbing(who, self.record.outages, SETTLING):
            await deed()
        return True

    async def _control_plane(self, deed: Callable[[], Awaitable[None]]) -> bool:
        """Nothing starts without it, so nothing is being restarted meanwhile."""
        if self._busy:
            return False
        async with self._disturbing(CONTROL_PLANE, self.record.outages, self.lease + 2 * SETTLING):
            await deed()
        return True

    @asynccontextmanager
    async def _disturbing(self, who: str, spans: list[Span], after: float) -> AsyncIterator[None]:
        self._busy.add(who)
        begin = time.monotonic()
        try:
            yield
        finally:
            spans.append(Span(begin, time.monotonic() + after))
            self._busy.discard(who)

    async def _some(self, least: float, most: float) -> None:
        await asyncio.sleep(self.random.uniform(least, most))

    async def _killed(self, letter: str) -> None:
        await self._down(self.world.replicas[letter], graceful=False)

    async def _stopped(self, letter: str) -> None:
        await self._down(self.world.replicas[letter], graceful=True)

    async def _down(self, process: Process, *, graceful: bool) -> None:
        await (process.stop() if graceful else process.kill())
        await self._some(0.2, 4)
        await process.start()

    async def _frozen(self, letter: str) -> None:
        replica = self.world.replicas[letter]
        replica.pause()
        await self._some(1, 2 * self.lease)
        replica.resume()

    async def _cut_off(self, letter: str) -> None:
        async with _closed(self.world.fronts[letter]):
            await self._some(1, 2 * self.lease)

    async def _refused(self, letter: str) -> None:
        async with self._answering(self.world.fronts[letter]):
            await self._some(1, 2 * self.lease)

    async def _hung_up(self, letter: str) -> None:
        self.world.fronts[letter].hang_up()

    async def _hook_down(self) -> None:
        await self._down(self.world.hook, graceful=self.random.random() < 0.5)

    async def _refusing_hook(self) -> None:
        async with self._answering(self.world.fronts[HOOK]):
            await self._some(1, 4)

    async def _composite_down(self) -> None:
        await self._down(self.world.composite, graceful=False)

    async def _composite_cut(self) -> None:
        self.world.fronts[CONTROLLER].hang_up()

    async def _api_down(self) -> None:
        await self.world.api.stop()
        await self._some(0.2, 4)
        await self.world.api.start()

    async def _etcd_down(self) -> None:
        await self.world.api.kill_storage()
        await self._some(0.2, 4)
        await self.world.api.start_storage()

    def _answering(self, front: Front) -> AbstractAsyncContextManager[None]:
        return _answering(front, self.random.choice(REFUSALS))


@asynccontextmanager
async def _answering(front: Front, answer: Answer) -> AsyncIterator[None]:
    front.answer = answer
    front.hang_up()
    try:
        yield
    finally:
        front.answer = None


@asynccontextmanager
async def _closed(front: Front) -> AsyncIterator[None]:
    await front.stop()
    try:
        yield
    finally:
        await front.start()

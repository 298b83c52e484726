"""A storm of random faults in a world, from a seed, with a record of true states and faults.

Backends die and return; sidecars, hook, composite controller, API server and etcd are killed, stopped and cut off;
watches break; ExternalServices are created, changed and deleted. `judge` evaluates the record.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from playground.client import CONTROLLER, Refused
from tests.e2e.backends import Mode
from tests.e2e.judge import Record, Shown, Span, Turn
from tests.e2e.manifests import external_service
from tests.e2e.world import World

Object = dict[str, Any]
Step = Callable[[], object]
"""It may return an awaitable."""

PERIOD, TIMEOUT = 2, 2
PROBES: tuple[Object, ...] = (
    {"httpGet": {"port": 8080, "path": "/healthz"}},
    {"httpGet": {"port": 8443, "scheme": "HTTPS"}},
    {"grpc": {"port": 9090}},
)
DEAD = (Mode.REFUSE, Mode.DROP, Mode.ERROR, Mode.SLOW)
FEWEST, MOST = 30, 50
CONTROL_PLANE, HOOK = "control plane", "hook"
ASKED_AGAIN = 0.2
SETTLING = 5.0
"""Seconds after a fault in which its consequences may still delay what is published: retries, lists, back-offs."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`begin` and `end` of a fault, which lasts up to `longest` seconds."""

    begin: Step
    end: Step = bool
    longest: float = 4.0


@dataclass(slots=True)
class Service:
    """One ExternalService, and its addresses, which are never used again."""

    name: str
    number: int
    probe: Object
    ips: list[str] = field(default_factory=list)
    born: int = 0
    busy: bool = False

    def more(self) -> str:
        """Another address."""
        self.born += 1
        return f"10.{20 + 10 * (self.number // 250)}.{self.number % 250}.{self.born}"


@dataclass(slots=True)
class Storm:
    """`blow` for some seconds, as often as wanted; `shown` is for what is published meanwhile.

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

    def shown(self, ip: str, ready: bool | None) -> None:
        """Records a change of what is published."""
        self.record.shown.setdefault(ip, []).append(Shown(time.monotonic(), ready))

    async def populate(self, count: int) -> None:
        """Creates ExternalServices with five addresses on average."""
        for _ in range(count):
            await self._create()
        self.deeds.clear()

    async def blow(self, seconds: float) -> None:
        """Faults at random moments, several at a time; returns when all of them are over.

        Often enough that several coincide, and rarely enough that there is time without faults, which shows how long
        the product itself takes.
        """
        deeds: dict[str, tuple[int, Callable[[], Awaitable[bool]]]] = {
            "backend turned": (80, self._turn),
            "ExternalService created": (3, self._create),
            "ExternalService deleted": (3, self._delete),
            "ExternalService edited": (6, self._edit),
            **{name: (1, lambda name=name: self._replica(name)) for name in self._of_replica("a")},  # type: ignore[misc] # it is a str
            **{name: (1, lambda name=name: self._other(name)) for name in self._of_others()},  # type: ignore[misc] # it is a str
        }
        names, weights = list(deeds), [weight for weight, _ in deeds.values()]
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < end:
                name = self.random.choices(names, weights)[0]
                group.create_task(self._do(name, deeds[name][1]))
                await asyncio.sleep(self.random.uniform(0.1, 1.2))

    async def _do(self, name: str, deed: Callable[[], Awaitable[bool]]) -> None:
        """Counts a deed, which returns False without an object to act on."""
        if await deed():
            self.deeds[name] += 1

    # -- true states -------------------------------------------------------------------------------------------------

    async def _turn(self) -> bool:
        """Some addresses of one ExternalService, or a single one, as a host or a rack dies."""
        service = self._any()
        if service is None:
            return False
        ips = [self.random.choice(service.ips)] if self.random.random() < 0.8 else list(service.ips)
        for ip in ips:
            dead = self._modes.get(ip, Mode.HEALTHY) is not Mode.HEALTHY
            mode = Mode.HEALTHY if dead else self.random.choice(DEAD)
            self.record.truth[ip].append(Turn(time.monotonic(), mode is Mode.HEALTHY))
            self.world.hosts.switch(ip, mode)
            self._modes[ip] = mode
        return True

    async def _create(self) -> bool:
        if len(self.services) >= MOST:
            return False
        self._made += 1
        service = Service(f"web-{self._made}", self._made, PROBES[self._made % len(PROBES)], busy=True)
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
        service.busy = True
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
        spec = self._manifest(service, service.ips)["spec"]
        await self._insist(lambda: self.world.patch(service.name, {"spec": spec}))
        service.busy = False
        return True

    def _any(self) -> Service | None:
        free = [service for service in self.services.values() if not service.busy]
        return self.random.choice(free) if free else None

    def _manifest(self, service: Service, ips: list[str]) -> Object:
        probe = {"periodSeconds": PERIOD, "timeoutSeconds": TIMEOUT, "failureThreshold": 2, **service.probe}
        return external_service(service.name, ips, readinessProbe=probe)

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

    # -- faults ---------------------------------------------------------------------------------------------------

    def _of_replica(self, letter: str) -> dict[str, Fault]:
        replica, front, long = self.world.replicas[letter], self.world.fronts[letter], 2.0 * self.lease
        return {
            "sidecar killed": Fault(replica.kill, replica.start),
            "sidecar stopped": Fault(replica.stop, replica.start),
            "sidecar frozen": Fault(replica.pause, replica.resume, long),
            "sidecar cut off": Fault(front.stop, front.start, long),
            "watches of a sidecar cut": Fault(front.hang_up),
        }

    def _of_others(self) -> dict[str, tuple[str, Fault]]:
        """Process and fault by name."""
        world = self.world
        found = {
            "hook killed": (HOOK, Fault(world.hook.kill, world.hook.start)),
            "hook stopped": (HOOK, Fault(world.hook.stop, world.hook.start)),
            "composite controller killed": (CONTROLLER, Fault(world.composite.kill, world.composite.start)),
            "watches of the composite controller cut": (CONTROLLER, Fault(world.fronts[CONTROLLER].hang_up)),
        }
        if world.api.ours:
            found["API server killed"] = (CONTROL_PLANE, Fault(world.api.stop, world.api.start))
            found["etcd killed"] = (CONTROL_PLANE, Fault(world.api.kill_storage, world.api.start_storage))
        return found

    async def _replica(self, name: str) -> bool:
        """A fault for a replica without one; its share is taken over when the Lease expires."""
        spared = {"a"} if name in ("sidecar killed", "sidecar stopped") else set()
        free = [letter for letter in self.world.replicas if letter not in self._busy | spared]
        if not free or CONTROL_PLANE in self._busy:
            return False
        letter = self.random.choice(free)
        await self._disturb(letter, self._of_replica(letter)[name])
        return True

    async def _other(self, name: str) -> bool:
        """Without the control plane nothing starts, so nothing is being restarted while it is down."""
        who, fault = self._of_others()[name]
        if self._busy if who == CONTROL_PLANE else self._busy & {who, CONTROL_PLANE}:
            return False
        begin, after = time.monotonic(), self.lease + 2 * SETTLING if who == CONTROL_PLANE else SETTLING
        try:
            await self._disturb(who, fault)
        finally:
            self.record.outages.append(Span(begin, time.monotonic() + after))
        return True

    async def _disturb(self, who: str, fault: Fault) -> None:
        self._busy.add(who)
        try:
            await _step(fault.begin)
            await asyncio.sleep(self.random.uniform(0.2, fault.longest))
            await _step(fault.end)
        finally:
            self._busy.discard(who)


async def _step(step: Step) -> None:
    result = step()
    if inspect.isawaitable(result):
        await result

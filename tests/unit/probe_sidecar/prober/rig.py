"""Targets and a prober on a loop whose time the test moves."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from probe_sidecar.prober.counters import MOST, SHORTEST, STEP
from probe_sidecar.prober.outage import Canary, Probed, SuspectedOutage
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.targets import NO_HOSTNAMES, Surroundings, Targets
from probe_sidecar.probes.exchange import Result
from probe_sidecar.probes.prepare import Referenced


class HandLoop:
    """As much of an event loop as the prober needs: a clock, and timers that never fire by themselves."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.timers: list[asyncio.TimerHandle] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Returns itself as the loop."""
        return cast(asyncio.AbstractEventLoop, self)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, **_: Any) -> asyncio.TimerHandle:
        self.timers.append(asyncio.TimerHandle(when, callback, args, self.loop))
        return self.timers[-1]

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return self.call_at(self.now, callback, *args)

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio calls it."""

    def fire(self) -> None:
        """Run the earliest timer."""
        timer = min((one for one in self.timers if not one.cancelled()), key=lambda one: one.when())
        self.timers.remove(timer)
        self.now = timer.when()
        timer._run()

    def armed(self) -> list[float]:
        """When the timers that are not cancelled fire."""
        return [timer.when() for timer in self.timers if not timer.cancelled()]


class Subject:
    """The part of an ExternalService that its targets use."""

    def __init__(self, surroundings: Surroundings, name: str = "shop/web") -> None:
        self.referenced: Referenced | str = Referenced()
        self.changes = 0
        self.delays: list[str] = []
        self.on_change: Callable[[], None] = lambda: None
        self.targets = Targets(surroundings, self, name)

    def changed(self) -> None:
        self.changes += 1
        self.on_change()

    def delayed(self, reason: str) -> None:
        self.delays.append(reason)

    def apply(
        self,
        spec: ExternalServiceSpec,
        known: Mapping[str, AddressStatus],
        *,
        spread_since: float | None = None,
        names: Mapping[str, str] = NO_HOSTNAMES,
    ) -> None:
        self.targets.apply(spec, known, names, spread_since=spread_since)


def surroundings_of(
    loop: HandLoop,
    engine: Any,
    services: Collection[Probed],
    *,
    policy: AddressPolicy | None = None,
    phase: float = 0.0,
    hold: float = 0.0,
    canary: Canary | None = None,
    wall: Callable[[], str] | None = None,
    before_tick: Callable[[], None] = lambda: None,
) -> Surroundings:
    """The parts that `sidecar` builds, with a wall clock that shows the loop's time."""
    now = wall or (lambda: f"t{loop.now:g}")
    outage = SuspectedOutage(loop.loop, engine, services, hold=hold, canary=canary, now=now, on_change=lambda: None)
    prober = Prober(loop.loop, engine, outage, phase=phase, before_tick=before_tick)
    return Surroundings(prober, loop.time, now, policy or AddressPolicy())


def decoded(history: bytes) -> list[tuple[Result, float]]:
    """Each result with its seconds, oldest first."""
    results = list(Result)
    return [(results[one >> 6], SHORTEST * STEP ** (one & MOST)) for one in history]

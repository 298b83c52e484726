"""The API server of the playground with faults: refusals, slowness, missing responses."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.apiserver import FakeApiServer
from playground.apiserver.api import Api
from playground.apiserver.errors import ApiError
from playground.apiserver.request import RequestInfo
from playground.apiserver.watch import Watch


@dataclass(eq=False, slots=True)
class Fault:
    """Applies to the requests with these verbs and resources (empty: all) until `lift()`.

    It waits `seconds`, or with `stall` until it is lifted, and then, with a `code`, refuses with that HTTP status.
    """

    verbs: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    code: int = 0
    seconds: float = 0.0
    stall: bool = False
    hits: int = 0
    lifted: asyncio.Event = field(default_factory=asyncio.Event)

    def lift(self) -> None:
        """Ends it; what it stalls goes on."""
        self.lifted.set()

    def matches(self, verb: str, resource: str) -> bool:
        """Whether it is meant for this request."""
        wanted = ((self.verbs, verb), (self.resources, resource))
        return not self.lifted.is_set() and all(not allowed or word in allowed for allowed, word in wanted)

    async def strike(self) -> None:
        """Waits, stalls or refuses."""
        self.hits += 1
        await asyncio.sleep(self.seconds)
        if self.stall:
            await self.lifted.wait()
        if self.code:
            raise ApiError(self.code, *_REASONS.get(self.code, ("Unknown", "a fault of the playground")))


class Faults:
    """The faults of one server."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Begins a fault and returns it, for `lift()`."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Lifts all."""
        for fault in self._faults:
            fault.lift()
        self._faults.clear()

    async def before(self, verb: str, resource: str) -> None:
        """Strikes with what matches; raises its refusal."""
        for fault in [fault for fault in self._faults if fault.matches(verb, resource)]:
            await fault.strike()


class FaultyApi(Api):
    """While `flowing` is cleared, watches send nothing."""

    def __init__(self, server: "FaultyServer") -> None:
        super().__init__(server.storage, server.registry)
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._faults = server.faults

    async def respond(self, request: Request, info: RequestInfo, actor: str) -> Response:
        await self._faults.before(info.verb, info.resource.plural)
        return await super().respond(request, info, actor)

    async def stream(self, request: Request, watch: Watch) -> AsyncIterator[bytes]:
        async for line in super().stream(request, watch):
            await self.flowing.wait()
            yield line


class FaultyServer(FakeApiServer):
    """`faults.add(...)` begins a fault, at any time; `stop` ends all."""

    api: FaultyApi

    def __init__(self, **options: Any) -> None:
        self.faults = Faults()
        super().__init__(**options)

    def make_api(self) -> FaultyApi:
        return FaultyApi(self)

    async def stop(self) -> None:
        """Ends the faults first, so that stalled requests continue."""
        self.api.flowing.set()
        self.faults.clear()
        await super().stop()


_REASONS = {
    403: ("Forbidden", "forbidden by a fault of the playground"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}

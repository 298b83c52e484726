"""The API server of the playground with faults: refusals, errors, slowness, missing and lost responses."""

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
    """One order. Empty sets match everything; `times` ends it, `lift()` ends it by hand.

    `code`: refused with that HTTP status before anything is done. `seconds`: waits before anything is done.
    `stall`: no answer until lifted. `lose_answer`: done, but the connection breaks before the answer.
    """

    verbs: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    code: int = 0
    retry_after: int | None = None
    seconds: float = 0.0
    stall: bool = False
    lose_answer: bool = False
    times: int | None = None
    hits: int = 0
    _lifted: asyncio.Event = field(default_factory=asyncio.Event)

    def lift(self) -> None:
        """Ends it; what it stalls goes on."""
        self._lifted.set()

    @property
    def over(self) -> bool:
        """Whether it matches no longer."""
        spent = self.times is not None and self.hits >= self.times
        return spent or self._lifted.is_set()

    def matches(self, verb: str, resource: str, actor: str) -> bool:
        """Whether it is meant for this request."""
        wanted = ((self.verbs, verb), (self.resources, resource), (self.actors, actor))
        return not self.over and all(not allowed or word in allowed for allowed, word in wanted)

    async def strike(self) -> None:
        """Waits, stalls or refuses."""
        self.hits += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.stall:
            await self._lifted.wait()
        if self.code:
            raise _refusal(self.code, self.retry_after)


class Faults:
    """The orders of one server."""

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

    async def before(self, verb: str, resource: str, actor: str) -> bool:
        """Strikes with what matches; raises its refusal. True if the answer is to be lost."""
        self._faults = [fault for fault in self._faults if not fault.over]
        matching = [fault for fault in self._faults if fault.matches(verb, resource, actor)]
        for fault in matching:
            await fault.strike()
        return any(fault.lose_answer for fault in matching)


class Cut(Exception):
    """Ends a watch by breaking its connection: `storage.interrupt(Cut())`."""


class FaultyApi(Api):
    """`tokens`: token to user name; None lets every client in. While `flowing` is cleared, watches send nothing."""

    def __init__(self, server: "FaultyServer") -> None:
        super().__init__(server.storage, server.registry)
        self.tokens: dict[str, str] | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._server = server

    def actor(self, request: Request) -> str:
        if self.tokens is None:
            return super().actor(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return self.tokens[token]

    async def respond(self, request: Request, info: RequestInfo, actor: str) -> Response:
        lost = await self._server.faults.before(info.verb, info.resource.plural, actor)
        answer = await super().respond(request, info, actor)
        if lost:
            self._hang_up_on(request)
        return answer

    async def stream(self, request: Request, watch: Watch) -> AsyncIterator[bytes]:
        try:
            async for line in super().stream(request, watch):
                await self.flowing.wait()
                yield line
        except Cut:
            self._hang_up_on(request)

    def _hang_up_on(self, request: Request) -> None:
        if request.client is not None:
            self._server.hang_up((request.client.host, request.client.port))


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
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden by a fault of the playground"),
    429: ("TooManyRequests", "storage is (re)initializing"),
    500: ("InternalError", "Internal error occurred: a fault of the playground"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the request did not complete within the allowed time"),
}


def _refusal(code: int, retry_after: int | None) -> ApiError:
    reason, text = _REASONS.get(code, ("Unknown", "a fault of the playground"))
    return ApiError(code, reason, text, retry_after=retry_after)

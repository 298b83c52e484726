"""A client of a Service, as applications are: it resolves the name and sends a request to one of the addresses."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx

from external_service.kind import host_port
from tests.e2e.coredns import Answer, CoreDns

A_SECOND = 50
REQUEST_SECONDS = 1.0


async def paced(once: Callable[[int], Coroutine[Any, Any, None]], count: int | None = None) -> None:
    """Calls `once(turn)` 50 times a second, whether or not earlier calls have ended; forever without a count."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for turn in itertools.count() if count is None else range(count):
            group.create_task(once(turn))
            await asyncio.sleep(max(0.0, begun + (turn + 1) / A_SECOND - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `to` is empty without an address; `served`: with 200."""

    answer: Answer
    to: str
    served: bool


@dataclass(slots=True)
class Client:
    """Resolves the name again for each request."""

    dns: CoreDns
    service: str
    namespace: str
    port: int
    requests: list[Request] = field(default_factory=list)

    async def run(self) -> None:
        """Runs until cancelled; a failing name server ends it with an error."""
        async with httpx.AsyncClient(trust_env=False, timeout=REQUEST_SECONDS) as http:

            async def once(turn: int) -> None:
                answer = await self.dns.resolve(self.service, self.namespace)
                named = sorted(answer.addresses)
                to = named[turn % len(named)] if named else ""
                self.requests.append(Request(answer, to, bool(to) and await self._served(http, to)))

            await paced(once)

    @property
    def rate(self) -> float:
        """The rate that was reached, in requests a second."""
        return (len(self.requests) - 1) / (self.requests[-1].answer.asked - self.requests[0].answer.asked)

    @property
    def failed(self) -> list[Request]:
        """The requests that reached an address and failed."""
        return [one for one in self.requests if one.to and not one.served]

    def named(self) -> frozenset[str]:
        """The latest response."""
        return self.requests[-1].answer.addresses if self.requests else frozenset()

    def since(self, at: float) -> list[Request]:
        """The requests that began after a moment."""
        return [one for one in self.requests if one.answer.answered > at]

    async def _served(self, http: httpx.AsyncClient, ip: str) -> bool:
        try:
            return (await http.get(f"http://{host_port(ip, self.port)}/")).is_success
        except httpx.TransportError:
            return False

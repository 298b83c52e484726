"""Stand-ins for the machines of the status protocol: a minimal exact API server, and Metacontroller.

The API server has versions, the lock, the stand-in's guard and a watch in order; Metacontroller is three steps.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import httpx
import jsonpatch

from playground.apiserver.schema import stale_status, without_stale_status
from playground.values import same

Object = dict[str, Any]

TRIES = 4


class ApiServer:
    """One object. `stored` has all its versions, each watch those that it has not shown yet."""

    def __init__(
        self, *, guard: bool, policy: bool = False, alone: bool = True, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.guard = guard
        self.policy = policy
        self.alone = alone
        self.clock = clock
        self.watches: list[deque[Object]] = []
        meta = {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1}
        self.stored: list[Object] = [{"metadata": meta}]
        self.stored_at = [clock()]
        self.lost_answers = 0
        self.requests = self.in_flight = 0

    @property
    def live(self) -> Object:
        return self.stored[-1]

    def watch(self) -> deque[Object]:
        self.watches.append(deque([deepcopy(self.live)]))
        return self.watches[-1]

    def put(self, status: Any, version: str) -> int:
        """Replaces the status as of that version: 200 (under the policy a stale one changes nothing), 409, 422."""
        meta = self.live["metadata"]
        if version != meta["resourceVersion"]:
            return 409
        fresh = {"metadata": meta | {"resourceVersion": str(int(version) + 1)}, "status": deepcopy(status)}
        if self.policy:
            fresh = without_stale_status(self.live, fresh)
        if self.guard and stale_status(self.live, fresh):
            return 422
        if not same(fresh["status"], self.live.get("status")):
            self.stored.append(fresh)
            self.stored_at.append(self.clock())
            for watch in self.watches:
                watch.append(deepcopy(fresh))
        return 200

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """A response takes 10 ms in each direction."""
        self.requests += 1
        self.in_flight += 1
        assert self.in_flight == 1 or not self.alone, "one request in flight for one object"
        try:
            await asyncio.sleep(0.01)
            response = self.serve(request)
            await asyncio.sleep(0.01)
        finally:
            self.in_flight -= 1
        if self.lost_answers:
            self.lost_answers -= 1
            raise httpx.ReadError("cut")
        return response

    def serve(self, request: httpx.Request) -> httpx.Response:
        code = 200
        if request.method == "PATCH":
            lock, *operations = json.loads(request.content)
            patched = jsonpatch.apply_patch(self.live, operations) if lock["value"] == self.version else self.live
            code = self.put(patched.get("status"), lock["value"])
        return httpx.Response(code, json=self.live if code == 200 else {"kind": "Status", "reason": "no"})

    @property
    def version(self) -> str:
        return str(self.live["metadata"]["resourceVersion"])


class Metacontroller:
    """Metacontroller in single steps: read the stale cache, GET, PUT the cached status."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.watch = api.watch()
        self.cached: Object = self.watch.popleft()
        self.queued = True
        self.wanted: Object | None = None
        self.read: str | None = None
        self.tries = 0
        self.children: list[Object] = []

    def hear(self) -> None:
        self.cached, self.queued = self.watch.popleft(), True

    def step(self) -> None:
        """Do the next step: begin a sync, GET, or PUT."""
        if self.wanted is None:
            self.queued, self.tries = False, 0
            echo = deepcopy(self.cached.get("status") or {})
            self.children.append(echo)
            self.wanted = echo | {"observedGeneration": 1}
        elif self.read is None:
            if same(self.api.live.get("status"), self.wanted):
                self.wanted = None
            else:
                self.read = self.api.version
        else:
            code, self.read = self.api.put(self.wanted, self.read), None
            self.tries += 1
            if code != 409 or self.tries == TRIES:
                self.wanted = None
            self.queued |= code == 422

    @property
    def busy(self) -> bool:
        return self.queued or self.wanted is not None


def stamp(turn: int) -> str:
    return f"2026-01-01T{turn // 3_600:02}:{turn // 60 % 60:02}:{turn % 60:02}Z"

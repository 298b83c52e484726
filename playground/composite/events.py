"""A small event recorder as in client-go: equal events are counted on one object, and each parent has a budget.

The budget is Metacontroller's default: 25 at once, then one in five minutes.
"""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import httpx

from playground.client import EVENTS, ApiClient, Refused
from playground.composite.workqueue import TokenBucket
from playground.values import Object

BUDGET = (1 / 300, 25)
MOST_MESSAGE = 1024


class EventRecorder:
    """Writes core/v1 Events as `component`, in the background; a failure to write one is ignored."""

    def __init__(self, client: ApiClient, component: str) -> None:
        self._client = client
        self._component = component
        self._budgets: dict[str, TokenBucket] = {}
        self._written: dict[tuple[str, str, str], Object] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def warn(self, about: Object, reason: str, message: str) -> None:
        """Records a Warning about an object, if its budget allows."""
        uid = about["metadata"]["uid"]
        if not self._budgets.setdefault(uid, TokenBucket(*BUDGET)).take():
            return
        task = asyncio.get_running_loop().create_task(self._write(about, reason, message[:MOST_MESSAGE]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Waits for the requests under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, about: Object, reason: str, message: str) -> None:
        key = (about["metadata"]["uid"], reason, message)
        namespace, now = about["metadata"]["namespace"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            if written := self._written.get(key):
                update = {"count": written["count"] + 1, "lastTimestamp": now}
                path = EVENTS.path(namespace, written["metadata"]["name"])
                self._written[key] = await self._client.patch(path, update)
            else:
                event = self._event(about, reason, message, now)
                self._written[key] = await self._client.create(EVENTS.path(namespace), event)
        except (Refused, httpx.HTTPError):
            self._written.pop(key, None)

    def _event(self, about: Object, reason: str, message: str, now: str) -> Object:
        meta = about["metadata"]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta['name']}.{uuid4().hex[:16]}", "namespace": meta["namespace"]},
            "involvedObject": {"apiVersion": about["apiVersion"], "kind": about["kind"]}
            | {name: meta[name] for name in ("name", "namespace", "uid", "resourceVersion")},
            "reason": reason,
            "message": message,
            "type": "Warning",
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

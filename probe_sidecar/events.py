"""Events (events.k8s.io/v1): what `kubectl describe` and `kubectl events` show of transitions.

Differences between two statuses become Notes: one for each reason, for any number of addresses. They are written at
their own pace: callers never wait, and nothing here holds up a status write; what finds no room is dropped and counted.
Namespaces take turns, and so do the objects of a namespace; where there is no room, the namespace of which the most
Events wait loses one (design R10). An Event that waits already is not added again. One that cannot be written is lost.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import uuid4

from probe_sidecar.fair_queue import FairQueue
from probe_sidecar.kube.client import KubeClient, Resource, micro_time
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import ApiError

log = logging.getLogger(__name__)

Status = Mapping[str, Any]

LONGEST: Final = 1_024
"""Characters of an Event's note (events.k8s.io/v1)."""

_ROOM: Final = LONGEST - len("; and 1000 more")


class Note(NamedTuple):
    """One Event. `reason` is a CamelCase word, `action` what the prober was doing, `text` the evidence.

    `once` becomes part of the Event's name, so that another replica does not write the same one again.
    """

    reason: str
    action: str
    text: str
    warning: bool = False
    once: str = ""


ENDED: Final = {
    "FailOpen": Note("FailOpenEnded", "Publishing", "only healthy addresses are published as ready again"),
    "ProbesDelayed": Note("ProbesInTime", "Probing", "probes run on time again"),
    "SuspectedOutage": Note("SuspectedOutageEnded", "Probing", "probed addresses respond again"),
}
"""Conditions that are True while something is wrong, and the Event when they end."""


def notes(before: object, after: object) -> list[Note]:
    """The transitions from one status, as read, to the next. Wrong shapes say nothing."""
    old, new = _fields(before), _fields(after)
    before, after = _by(old, "addresses", "ip"), _by(new, "addresses", "ip")
    return [*_of_addresses(before, after), *_of_names(before, after), *_of_conditions(old, new)]


def _of_addresses(old: Mapping[str, Status], new: Mapping[str, Status]) -> Iterator[Note]:
    risen, fallen = [], []
    for ip, state in new.items():
        was = old.get(ip, {})
        line = f"{ip}: {state.get('message')}"
        if state.get("reason") == "ProbeSucceeded" and was.get("ready") is not True:
            risen.append(line)
        elif state.get("reason") == "ProbeFailed" and was.get("reason") != "ProbeFailed":
            fallen.append(line)
    if fallen:
        yield Note("AddressNotReady", "Probing", _joined(fallen), warning=True)
    if risen:
        yield Note("AddressReady", "Probing", _joined(risen))


def _of_names(old: Mapping[str, Status], new: Mapping[str, Status]) -> Iterator[Note]:
    """Of a name that had addresses before and has some now: that a name comes or goes is its author's own doing."""
    before, after = _by_name(old), _by_name(new)
    changed = []
    for name in before.keys() & after.keys():
        come = [f"+{ip}" for ip in after[name] if ip not in old]
        gone = [f"-{ip}" for ip in before[name] if ip not in new]
        if come or gone:
            changed.append(f"{name}: {' '.join((*come, *gone))}")
    if changed:
        yield Note("AddressesChanged", "Resolving", _joined(sorted(changed)))


def _by_name(addresses: Mapping[str, Status]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ip, state in addresses.items():
        if isinstance(name := state.get("hostname"), str):
            found.setdefault(name, []).append(ip)
    return found


def _of_conditions(old: Status, new: Status) -> Iterator[Note]:
    before, after = _by(old, "conditions", "type"), _by(new, "conditions", "type")
    for kind, ended in ENDED.items():
        was, now = _true(before, kind), _true(after, kind)
        if now and not was:
            yield Note(kind, ended.action, _cut(str(after[kind].get("message"))), warning=True)
        elif was and not now:
            yield ended
    missed, missing = _child_missing(before), _child_missing(after)
    if missing and missing != missed:
        yield Note("ChildMissing", "Publishing", _cut(missing), warning=True)
    elif missed and not missing:
        yield Note("ChildRecovered", "Publishing", "the Service and its endpoints are owned by this ExternalService")
    for kind, action in (("Accepted", "Accepting"), ("Resolved", "Resolving")):
        yield from _of_trouble(kind, action, before.get(kind, {}), after.get(kind, {}))


def _of_trouble(kind: str, action: str, was: Status, now: Status) -> Iterator[Note]:
    """Of a condition that is True while all is well: each new trouble, and the end of it."""
    if now.get("status") == "False" and now.get("message") != was.get("message"):
        yield Note(str(now.get("reason")), action, _cut(str(now.get("message"))), warning=True)
    elif was.get("status") == "False" and now.get("status") == "True":
        yield Note(kind, action, _cut(str(now.get("message"))))


def _child_missing(conditions: Mapping[str, Status]) -> str:
    """The message of Ready while a child is missing, else empty."""
    ready = conditions.get("Ready", {})
    return str(ready.get("message")) if ready.get("reason") == "ChildMissing" else ""


def _true(conditions: Mapping[str, Status], kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _joined(lines: Iterable[str]) -> str:
    """As many lines as there is room for, and how many are left."""
    shown: list[str] = []
    room, left = _ROOM, 0
    for line in lines:
        if left or len(line) > room:
            left += 1
        else:
            shown.append(line)
            room -= len(line) + 2
    if not shown:
        return f"{left} addresses, see status.addresses"
    return "; ".join(shown) + (f"; and {left} more" if left else "")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def _fields(status: object) -> Status:
    return status if isinstance(status, dict) else {}


def _by(status: Status, field: str, key: str) -> dict[str, Status]:
    entries = status.get(field)
    if not isinstance(entries, list):
        return {}
    return {str(entry.get(key)): entry for entry in entries if isinstance(entry, dict)}


EVENTS: Final = Resource("events.k8s.io", "v1", "events")
CONTROLLER: Final = "eso.crowdfox.com/prober"

MOST_WAITING: Final = 1_000
BURST: Final = 50
PER_SECOND: Final = 5.0


@dataclass(slots=True)
class Counters:
    """Since the start. `dropped`: there was no room to wait; `failed`: the API server did not take it."""

    written: int = 0
    dropped: int = 0
    failed: int = 0


_Key = tuple[str, str, str]
"""Uid, reason and text."""


class _Event(NamedTuple):
    """An Event that waits to be written: `at` is when it happened, a meta/v1 MicroTime."""

    regarding: Object
    note: Note
    at: str


class EventRecorder:
    """Needs `run` running. `instance` names this process, `clock` is monotonic seconds, `now` a meta/v1 MicroTime."""

    def __init__(
        self,
        client: KubeClient,
        instance: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], str] = micro_time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        identity: Callable[[], str] = lambda: uuid4().hex[:16],
    ) -> None:
        self._client = client
        self._instance = instance[:128]
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._identity = identity
        self._turns: FairQueue[_Key] = FairQueue()
        self._waiting: dict[_Key, _Event] = {}
        self._something = asyncio.Event()
        self._budget = float(BURST)
        self._budget_at = clock()
        self.counters = Counters()

    def record(self, about: Object, notes: Iterable[Note]) -> None:
        """Write these about an object, as soon as there is room. Never blocks, never fails."""
        regarding = _reference(about)  # many may wait, and whole objects would take kilobytes each
        for note in notes:
            self._enqueue(regarding, note)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._something.wait()
            while self._waiting:
                await self._spend()
                if (key := self._turns.pop()) is not None:
                    await self._write(self._waiting.pop(key))
            self._something.clear()

    def _enqueue(self, regarding: Object, note: Note) -> None:
        key = (regarding["uid"], note.reason, note.text)
        if key in self._waiting:
            return
        if len(self._waiting) >= MOST_WAITING and (oldest := self._turns.pop(self._turns.longest().__eq__)) is not None:
            self.counters.dropped += 1
            del self._waiting[oldest]
        self._turns.push(key, (regarding["namespace"], regarding["name"]))
        self._waiting[key] = _Event(regarding, note, self._now())
        self._something.set()

    async def _spend(self) -> None:
        """Wait until the budget has room for one: PER_SECOND on the whole, BURST at once."""
        now = self._clock()
        self._budget = min(BURST, self._budget + (now - self._budget_at) * PER_SECOND)
        self._budget_at = now
        if self._budget < 1:
            await self._sleep((1 - self._budget) / PER_SECOND)
        self._budget -= 1

    async def _write(self, event: _Event) -> None:
        namespace = event.regarding["namespace"]
        try:
            await self._client.create(EVENTS, namespace, self._manifest(event))
            self.counters.written += 1
        except ApiError as error:
            if error.status == 409 and event.note.once:
                return
            self.counters.failed += 1
            log.debug("an Event for %s/%s was dropped: %s", namespace, event.regarding["name"], error)
            if error.retry_after is not None:
                await self._sleep(error.retry_after)

    def _manifest(self, event: _Event) -> Object:
        return {
            "apiVersion": f"{EVENTS.group}/{EVENTS.version}",
            "kind": "Event",
            "metadata": {
                "name": f"{event.regarding['name'][:200]}.{event.note.once or self._identity()}",
                "namespace": event.regarding["namespace"],
            },
            "eventTime": event.at,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": event.note.action,
            "reason": event.note.reason,
            "type": "Warning" if event.note.warning else "Normal",
            "note": event.note.text,
            "regarding": event.regarding,
        }


def _reference(about: Object) -> Object:
    """core/v1 ObjectReference."""
    metadata: Object = about["metadata"]
    return {name: about[name] for name in ("apiVersion", "kind")} | {
        name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")
    }

"""A log of recent changes for people: addresses, children, Events, and what the user did."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from playground.apiserver.resources import ENDPOINTS, EVENTS, EXTERNAL_SERVICES, INGRESSES, SERVICES
from playground.apiserver.storage import Change
from playground.client import readiness
from playground.values import Object


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `at` is Unix time in seconds."""

    at: float
    text: str

    def as_json(self) -> Object:
        """As data, with the time in RFC 3339."""
        return {"time": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds"), "text": self.text}

    def __str__(self) -> str:
        return f"{time.strftime('%H:%M:%S', time.localtime(self.at))}  {self.text}"


class Journal:
    """Keeps the last entries. Each of `listeners` is called with every new one."""

    def __init__(self, most: int = 500) -> None:
        self.entries: deque[Entry] = deque(maxlen=most)
        self.listeners: list[Callable[[Entry], None]] = []

    def add(self, text: str) -> None:
        """Appends an entry with the time of now."""
        entry = Entry(time.time(), text)
        self.entries.append(entry)
        for listener in self.listeners:
            listener(entry)

    def record(self, change: Change) -> None:
        """Adds what a change in the cluster means to people."""
        new, old = (None if change.type == "DELETED" else change.object), change.previous
        meta = change.object["metadata"]
        place = f"{meta.get('namespace')}/{meta['name']}"
        word = "deleted" if new is None else "changed" if old else "created"
        if change.resource in (SERVICES.key, INGRESSES.key):
            self.add(f"{change.object['kind']} {place} {word}")
        elif change.resource == EVENTS.key and new:
            about = new.get("involvedObject") or {}
            self.add(f"Event {new.get('reason')} on {about.get('name')}: {new.get('message', '')}")
        elif change.resource == ENDPOINTS.key:
            self._endpoints(place, old or {}, new)
        elif change.resource == EXTERNAL_SERVICES.key:
            if new and old:
                self._transitions(place, old, new)
            else:
                self.add(f"{place} {word}")

    def _transitions(self, place: str, old: Object, new: Object) -> None:
        before = {one["ip"]: one for one in (old.get("status") or {}).get("addresses") or ()}
        for one in (new.get("status") or {}).get("addresses") or ():
            was = before.get(one["ip"], {})
            if (was.get("ready"), was.get("reason")) != (one["ready"], one["reason"]):
                word = "ready" if one["ready"] else "not ready"
                self.add(f"{place}: {one['ip']} {word}: {one['reason']}, {one.get('message', '')}")

    def _endpoints(self, place: str, old: Object, new: Object | None) -> None:
        if new is None:
            self.add(f"Endpoints {place} deleted")
            return
        before, after = readiness(old), readiness(new)
        changed = {ip: ready for ip, ready in after.items() if before.get(ip) is not ready}
        words = [f"{ip} {'ready' if ready else 'not ready'}" for ip, ready in changed.items()]
        words += [f"{ip} gone" for ip in sorted(before.keys() - after.keys())]
        if words:
            self.add(f"Endpoints {place}: {', '.join(words)}")

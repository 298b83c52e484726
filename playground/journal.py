"""A log of recent changes for people: addresses, children, Events, and what the user did."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from playground.client import ENDPOINTS, EVENTS, EXTERNAL_SERVICES, INGRESSES, SERVICES, ApiClient, Kind, readiness
from playground.composite.informer import Informer
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

    def informers(self, client: ApiClient) -> list[Informer]:
        """The informers that add entries while they run."""
        children = [Informer(client, kind, self._child(kind)) for kind in (SERVICES, INGRESSES)]
        return [
            Informer(client, EXTERNAL_SERVICES, self._parent),
            Informer(client, ENDPOINTS, self._endpoints),
            Informer(client, EVENTS, self._event),
            *children,
        ]

    def _parent(self, old: Object | None, new: Object | None) -> None:
        if new is None or old is None:
            self.add(f"{_place(new or old)} {'created' if new else 'deleted'}")
            return
        before = {one["ip"]: one for one in (old.get("status") or {}).get("addresses") or ()}
        for one in (new.get("status") or {}).get("addresses") or ():
            was = before.get(one["ip"], {})
            if (was.get("ready"), was.get("reason")) != (one["ready"], one["reason"]):
                word = "ready" if one["ready"] else "not ready"
                self.add(f"{_place(new)}: {one['ip']} {word}: {one['reason']}, {one.get('message', '')}")

    def _endpoints(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self.add(f"Endpoints {_place(old)} deleted")
            return
        before, after = readiness(old) if old else {}, readiness(new)
        changed = {ip: ready for ip, ready in after.items() if before.get(ip) is not ready}
        gone = before.keys() - after.keys()
        words = [f"{ip} {'ready' if ready else 'not ready'}" for ip, ready in changed.items()]
        words += [f"{ip} gone" for ip in sorted(gone)]
        if words:
            self.add(f"Endpoints {_place(new)}: {', '.join(words)}")

    def _child(self, kind: Kind) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            word = "created" if old is None else "deleted" if new is None else "changed"
            self.add(f"{kind.kind} {_place(new or old)} {word}")

        return changed

    def _event(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.add(f"Event {new.get('reason')} on {new['involvedObject']['name']}: {new.get('message', '')}")


def _place(obj: Mapping[str, Any] | None) -> str:
    meta = obj["metadata"] if obj else {}
    return f"{meta.get('namespace')}/{meta.get('name')}"

"""Which ExternalServices exist, the oldest first: told when one comes or goes, in bursts as often as it is cheap.

Knows nothing of who owns them. All replicas see the same in the end, whatever the order in which they learn of it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
Tell = Callable[[Sequence[str], Iterable[str]], None]

REST = 10
"""Times as long as the last telling took pass before the next: a burst of thousands costs a tenth of the loop."""


class Census:
    """Calls `tell(uids, those that were born since)`, at once or as soon as REST allows.

    Born is what has come and was not there when its namespace was first listed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Tell) -> None:
        self._loop = loop
        self._tell = tell
        self._created: dict[str, str] = {}
        self._born: dict[str, None] = {}  # an ordered set
        self._rested_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def observe(self, objects: Mapping[str, Object], changed: Iterable[str], first: bool) -> None:
        """The objects of one namespace, or of all, by uid; which of them have come, changed or gone; its first LIST."""
        went = [uid for uid in changed if uid not in objects and uid in self._created]
        came = [uid for uid in changed if uid in objects and uid not in self._created]
        for uid in went:
            del self._created[uid]
            self._born.pop(uid, None)
        self._created.update((uid, objects[uid]["metadata"].get("creationTimestamp") or "") for uid in came)
        if not first:
            self._born.update(dict.fromkeys(came))
        if came or went:
            self._count_soon()

    def close(self) -> None:
        """Tell nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _count_soon(self) -> None:
        if self._timer is None:
            if self._loop.time() >= self._rested_at:
                self._count()
            else:
                self._timer = self._loop.call_at(self._rested_at, self._count)

    def _count(self) -> None:
        began, self._timer = self._loop.time(), None
        born, self._born = self._born, {}
        self._tell(sorted(self._created, key=self._age), born)
        now = self._loop.time()
        self._rested_at = now + REST * (now - began)

    def _age(self, uid: str) -> tuple[str, str]:
        return self._created[uid], uid

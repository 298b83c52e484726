"""Fair shares of what is short: in turn for each namespace, and within a namespace in turn for each ExternalService."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")

Group = tuple[str, str]
"""Namespace and name of an ExternalService, or whatever else is to have equal shares within a namespace."""

NOBODY: Final[Group] = ("", "")


class FairQueue(Generic[Item]):
    """Items that wait. With one group it is first come, first served."""

    def __init__(self) -> None:
        self._namespaces: OrderedDict[str, OrderedDict[str, OrderedDict[Item, None]]] = OrderedDict()
        self._groups: dict[Item, Group] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def __contains__(self, item: object) -> bool:
        return item in self._groups

    def waits(self, namespace: str) -> bool:
        """Whether an item of this namespace waits."""
        return namespace in self._namespaces

    def push(self, item: Item, group: Group) -> None:
        """Let it wait, behind the others of its group."""
        namespace, name = group
        self._namespaces.setdefault(namespace, OrderedDict()).setdefault(name, OrderedDict())[item] = None
        self._groups[item] = group

    def pop(self, allowed: Callable[[str], bool] = lambda _: True) -> Item | None:
        """The next one, of a namespace that is `allowed`; None if there is none."""
        for namespace, names in self._namespaces.items():
            if allowed(namespace):
                name, items = next(iter(names.items()))
                item = next(iter(items))
                self._namespaces.move_to_end(namespace)
                names.move_to_end(name)
                self.discard(item)
                return item
        return None

    def longest(self) -> str:
        """The namespace of which the most items wait. ValueError if none waits."""
        return max(self._namespaces, key=lambda namespace: sum(map(len, self._namespaces[namespace].values())))

    def discard(self, item: Item) -> bool:
        """It does not wait any more. False if it did not."""
        group = self._groups.pop(item, None)
        if group is None:
            return False
        namespace, name = group
        names = self._namespaces[namespace]
        del names[name][item]
        if not names[name]:
            del names[name]
        if not names:
            del self._namespaces[namespace]
        return True

    def clear(self) -> None:
        """Nothing waits any more."""
        self._namespaces.clear()
        self._groups.clear()


class FairPlaces:
    """A number of places, handed out in turn."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    async def acquire(self, group: Group) -> None:
        """Wait for a place."""
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.push(place, group)
        try:
            await place
        except asyncio.CancelledError:
            if not self._waiting.discard(place) and not place.cancelled():
                self.release()  # it was handed out just before
            raise

    def release(self) -> None:
        """Give a place back."""
        while (waiting := self._waiting.pop()) is not None:
            if not waiting.done():
                waiting.set_result(None)
                return
        self._free += 1


async def each_in_turn(calls: Iterable[Callable[[], None]]) -> None:
    """Make each call in a turn of the event loop of its own, so that a thousand that take a millisecond do not delay
    the probes. One that fails does not keep the others from being made (design R8).
    """
    for call in calls:
        try:
            call()
        except Exception:
            log.exception("internal error: this ExternalService has not taken in what changed")
        await asyncio.sleep(0)

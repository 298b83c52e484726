"""Readiness of sockets for the engine: a separate epoll inside the loop, or the loop itself on systems without epoll.

Both deliver (descriptor, mask) pairs to one function; the mask's bits are those of poll(2), the same on every system.
"""

import asyncio
import select
import sys
from collections.abc import Callable, Iterable
from typing import Final

IN: Final = 0x001
OUT: Final = 0x004
ERR: Final = 0x008
HUP: Final = 0x010
RDHUP: Final = 0x2000
EDGE: Final = 1 << 31
_BOTH_WAYS: Final = IN | OUT | RDHUP | EDGE
BATCH: Final = 256
"""Events taken at a time, so that the loop's other work has its turn in a burst."""

Dispatch = Callable[[Iterable[tuple[int, int]]], None]


class LoopPoller:
    """Watches descriptors of connecting sockets from `add` until `remove`, by the event loop's own readers and writers.

    Level-triggered: for systems without epoll (macOS). `edges`: closing a socket ends its events, without `remove`.
    """

    edges = False

    def __init__(self, loop: asyncio.AbstractEventLoop, dispatch: Dispatch) -> None:
        self._loop = loop
        self._dispatch = dispatch
        self._watched: set[int] = set()

    def add(self, descriptor: int) -> None:
        """A socket that has begun to connect."""
        self._watched.add(descriptor)
        self._loop.add_writer(descriptor, self._on_writable, descriptor)

    def want_write(self, descriptor: int) -> None:
        """Bytes are left that the kernel has not taken."""
        if descriptor in self._watched:
            self._loop.add_writer(descriptor, self._on_writable, descriptor)

    def remove(self, descriptor: int) -> None:
        """Stop its events: it is about to be closed, or read without events from now on."""
        self._watched.discard(descriptor)
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)

    pause = remove

    def drain(self) -> None:
        """Deliver the events that the kernel has now."""
        poll = select.poll()
        for descriptor in self._watched:
            poll.register(descriptor, IN | OUT)
        self._dispatch(poll.poll(0))

    def close(self) -> None:
        """Watch nothing any more."""
        for descriptor in list(self._watched):
            self.remove(descriptor)

    def _on_readable(self, descriptor: int) -> None:
        self._dispatch([(descriptor, IN)])

    def _on_writable(self, descriptor: int) -> None:
        self._loop.remove_writer(descriptor)
        self._loop.add_reader(descriptor, self._on_readable, descriptor)
        # Which kind of readiness it is the loop does not say, so the engine must ask the socket.
        self._dispatch([(descriptor, OUT | ERR)])


if sys.platform == "linux":

    class EpollPoller:
        """One edge-triggered registration a connection; closing a socket ends it. The loop sees a single descriptor."""

        edges = True

        def __init__(self, loop: asyncio.AbstractEventLoop, dispatch: Dispatch) -> None:
            self._loop = loop
            self._dispatch = dispatch
            self._epoll = select.epoll()
            loop.add_reader(self._epoll.fileno(), self._on_ready)

        def add(self, descriptor: int) -> None:
            """See LoopPoller."""
            self._epoll.register(descriptor, _BOTH_WAYS)

        def want_write(self, descriptor: int) -> None:
            """Nothing to do: the edges of both directions are registered from the start."""

        def pause(self, descriptor: int) -> None:
            """See LoopPoller."""
            self._epoll.modify(descriptor, EDGE)

        def remove(self, descriptor: int) -> None:
            """Nothing to do: close(2) takes it out."""

        def drain(self) -> None:
            """See LoopPoller."""
            while True:
                events = self._epoll.poll(0, BATCH)
                self._dispatch(events)
                if len(events) < BATCH:
                    return

        def close(self) -> None:
            """See LoopPoller."""
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

        def _on_ready(self) -> None:
            self._dispatch(self._epoll.poll(0, BATCH))

    Poller = EpollPoller | LoopPoller
    best_poller: Callable[[asyncio.AbstractEventLoop, Dispatch], Poller] = EpollPoller
else:
    Poller = LoopPoller
    best_poller = LoopPoller

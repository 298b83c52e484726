import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator

import pytest

from probe_sidecar.probes.poller import IN, OUT, LoopPoller, Poller, best_poller
from tests.cases import cases


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@cases(
    "make",
    ("epoll", best_poller),
    ("loop", LoopPoller),
)
async def test_readiness_events_until_unregistered(
    make: Callable[..., Poller], pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    told: list[int] = []

    def dispatch(events: Iterable[tuple[int, int]]) -> None:
        for descriptor, mask in events:
            assert descriptor == ours.fileno()
            told.append(mask)

    poller = make(asyncio.get_running_loop(), dispatch)
    poller.add(ours.fileno())
    await asyncio.sleep(0.01)
    assert told, "connected"
    assert told[0] & OUT

    poller.want(ours.fileno(), write=False)
    await asyncio.sleep(0.01)
    told.clear()
    await asyncio.sleep(0.01)
    assert told == [], "a socket that can always be written to is no news"

    theirs.send(b"x")
    await asyncio.sleep(0.01)
    assert told
    assert told[0] & IN

    ours.recv(1)
    told.clear()
    poller.want(ours.fileno(), write=True)
    theirs.send(b"y")
    await asyncio.sleep(0.01)
    poller.drain()
    poller.remove(ours.fileno())
    poller.close()
    told.clear()
    theirs.send(b"z")
    await asyncio.sleep(0.01)
    assert told == []

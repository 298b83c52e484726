"""Interface between the engine and the protocols: an exchange takes bytes and returns the next action.

No socket and no clock on this side, so that every odd server is a row of a table. The engine owns both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from probe_sidecar.probes import message
from probe_sidecar.probes.outcome import Outcome, Result

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class Exchange(Protocol):
    """One conversation on one connection.

    Both methods return bytes (send these), None (wait for more), an Outcome (done) or a Hop (close and connect there).
    """

    @property
    def phase(self) -> str:
        """Current phase, one of those in `message`, for the message of a timeout."""

    def begin(self) -> "Step":
        """The connection is established."""

    def feed(self, data: bytes) -> "Step":
        """Bytes from the peer; empty once it has finished sending. Not called again after an Outcome or a Hop."""


class FastPath(Protocol):
    """Start of an exchange without state, so that one object serves all probes of a target.

    Most end with the first piece of the response. For the others `feed` returns an Exchange, which has the bytes and
    continues.
    """

    @property
    def phase(self) -> str:
        """See Exchange."""

    def begin(self) -> "Step":
        """See Exchange."""

    def feed(self, data: bytes) -> "Step | Exchange":
        """See Exchange; called once, and then no more."""


def _never() -> Exchange:
    raise AssertionError("a hop has a conversation for all, or one for each")


@dataclass(frozen=True, slots=True)
class Hop:
    """Address to connect to, and the exchange to run there. Made once a target, used for every probe.

    `shared` is a conversation's beginning that serves all of them; without it `open` makes a conversation for each.
    """

    address: SocketAddress
    open: Callable[[], Exchange] = _never
    shared: FastPath | None = None
    speaks: bool = True
    """It sends as soon as it is connected."""
    handshake: float | None = None
    """Seconds within which the conversation's TLS handshake must be done; the same for every hop that has one."""


Step = bytes | None | Outcome | Hop


def socket_address(ip: str, port: int) -> SocketAddress:
    """The address tuple as the socket module wants it; an IPv6 address without flow and scope."""
    return (ip, port, 0, 0) if ":" in ip else (ip, port)


_CONNECTED = Outcome(Result.SUCCESS, message.CONNECTED)


@dataclass(frozen=True, slots=True)
class Settled:
    """A conversation whose outcome is certain as soon as the connection is established; nothing is sent or read.

    It holds nothing of a probe, so one instance serves all.
    """

    outcome: Outcome = _CONNECTED
    phase: str = message.CONNECTING

    def begin(self) -> Outcome:
        """See Exchange."""
        return self.outcome

    def feed(self, _data: bytes) -> Outcome:
        """Never needed; a peer that speaks first was connected all the same."""
        return self.outcome


_TCP = Settled()


def tcp_hop(dial: str, port: int) -> Hop:
    """The TCP probe: connect and close (docs/conformance.md, line 16). `tcpSocket.host` has no part in it (D8)."""
    return Hop(socket_address(dial, port), shared=_TCP, speaks=False)

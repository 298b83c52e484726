"""What the engine and the protocols agree on: an exchange is fed bytes and answers what to do next.

No socket and no clock on this side, so that every odd server is a row of a table. The engine owns both.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from probe_sidecar.probes.outcome import Outcome

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class Exchange(Protocol):
    """One conversation on one connection.

    Both methods answer bytes (send these), None (wait for more), an Outcome (done) or a Hop (close and connect there).
    """

    @property
    def phase(self) -> str:
        """What it is waiting for, one of the phases in `message`, for the text of a time-out."""

    def begin(self) -> "Answer":
        """The connection stands."""

    def feed(self, data: bytes) -> "Answer":
        """Bytes from the peer; empty once it has finished sending. Not called again after an Outcome or a Hop."""


class Hop(NamedTuple):
    """Where to connect, and the conversation to hold there. Immutable, made once a target, used for every probe."""

    address: SocketAddress
    open: Callable[[], Exchange]
    speaks: bool = True
    """It sends as soon as it is connected."""
    handshake: float | None = None
    """Seconds within which the conversation's TLS handshake must be done; the same for every hop that has one."""


Answer = bytes | None | Outcome | Hop


def socket_address(ip: str, port: int) -> SocketAddress:
    """The address tuple as the socket module wants it; an IPv6 address without flow and scope."""
    return (ip, port, 0, 0) if ":" in ip else (ip, port)

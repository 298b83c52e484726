"""Interface between the engine and the protocols: an exchange takes bytes and returns the next action.

A protocol is a generator without socket and clock, so that every odd server is a row of a table. The engine owns both.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from probe_sidecar.probes import message

RESPONDS_WITHIN = 0.5
"""Share of a probe's timeout within which the outage guard expects an address that works to respond (ADR 11)."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class Result(Enum):
    """The kubelet's four results (kubernetes:pkg/probe). A warning counts as success; UNKNOWN is no evidence at all."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__  # Enum's own is a function in Python, and each probe's result is a key


SUCCESS, WARNING, FAILURE, UNKNOWN = Result
"""The same by themselves, for what is done for every probe: an enum's class looks its members up by a function."""


class Outcome(NamedTuple):
    """`message` is the evidence in a line ("HTTP 200", "connection refused"); never a body, never a header value.

    UNKNOWN means that the prober itself could not work (out of descriptors, cancelled, a bug): never counted against
    the address (design R7). `no_response`: a failure without any response of the address, not even a refusal or a
    connection accepted in time to respond, so that our own network may be the one that failed.
    """

    result: Result
    message: str
    no_response: bool = False

    @property
    def success(self) -> bool:
        """Success or warning."""
        return self.result is SUCCESS or self.result is WARNING


class Malformed(Exception):
    """The response violates the protocol, or cannot come any more; the text is what the user reads."""


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


_T = TypeVar("_T")
Reading = Generator[tuple[str, bytes], bytes, _T]
"""A protocol, or a part of one. It yields its phase (one of those in `message`) and the bytes to send, and is sent the
bytes that arrive: empty once the peer has finished sending. Raises Malformed.
"""


class Exchange:
    """One conversation on one connection. `reading` returns its end: an Outcome, or a Hop (close and connect there).

    Both methods return bytes (send these), None (wait for more), an Outcome or a Hop. `phase` is for the message of a
    time-out.
    """

    __slots__ = ("_opening", "_reading", "phase")

    def __init__(self, reading: "Reading[Step]") -> None:
        self.phase = ""
        self._reading = reading
        self._opening = self._advance(reading.__next__)

    def begin(self) -> "Step":
        """The connection is established."""
        return self._opening

    def feed(self, data: bytes) -> "Step":
        """Bytes from the peer; empty once it has finished sending. Not called again after an Outcome or a Hop."""
        return self._advance(lambda: self._reading.send(data))

    def _advance(self, go_on: Callable[[], tuple[str, bytes]]) -> "Step":
        try:
            self.phase, send = go_on()
        except StopIteration as end:
            step: Step = end.value
            return step
        except Malformed as problem:
            return Outcome(FAILURE, str(problem))
        return send or None


def _never() -> "Reading[Step]":
    raise AssertionError("a hop has a conversation for all, or one for each")


@dataclass(frozen=True, slots=True)
class Hop:
    """Address to connect to, and the conversation to have there. Made once a target, used for every probe.

    `shared` is a conversation's beginning that serves all of them; without it `open` makes a conversation for each.
    """

    address: SocketAddress
    open: "Callable[[], Reading[Step]]" = _never
    shared: FastPath | None = None
    speaks: bool = True
    """It sends as soon as it is connected."""
    handshake: float | None = None
    """Seconds within which the conversation's TLS handshake must be done; the same for every hop that has one."""

    def start(self) -> FastPath | Exchange:
        """The conversation of one connection."""
        return self.shared or Exchange(self.open())


Step = bytes | None | Outcome | Hop


def socket_address(ip: str, port: int) -> SocketAddress:
    """The address tuple as the socket module wants it; an IPv6 address without flow and scope."""
    return (ip, port, 0, 0) if ":" in ip else (ip, port)


class _Connect:
    """A conversation that succeeds as soon as the connection is established; nothing is sent or read."""

    phase = message.CONNECTING
    _connected = Outcome(SUCCESS, message.CONNECTED)

    def begin(self) -> Outcome:
        """See Exchange."""
        return self._connected

    def feed(self, _data: bytes) -> Outcome:
        """Never needed; a peer that speaks first was connected all the same."""
        return self._connected


_CONNECT = _Connect()


def tcp_hop(dial: str, port: int) -> Hop:
    """The TCP probe: connect and close (docs/conformance.md, line 16). `tcpSocket.host` has no part in it (D8)."""
    return Hop(socket_address(dial, port), shared=_CONNECT, speaks=False)

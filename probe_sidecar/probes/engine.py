"""The one place with sockets: connects, sends, feeds the exchanges, keeps the deadlines of thousands of probes at once.

Everything runs on the event loop's thread. A network error is a FAILURE of the address. A fault of our own (no
descriptor left, a bug, time that this process was not running) is UNKNOWN and tried again, up to three times in all
(docs/conformance.md, line 21; R7). ADR 3 says how readiness is learnt and how time is counted.
"""

import asyncio
import errno
import logging
import resource
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from ssl import SSLError
from time import monotonic
from typing import Final

from probe_sidecar.fair_queue import FairQueue
from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import (
    FAILURE,
    RESPONDS_WITHIN,
    SUCCESS,
    UNKNOWN,
    Exchange,
    FastPath,
    Hop,
    Outcome,
    Step,
)
from probe_sidecar.probes.poller import ERR, HUP, IN, RDHUP, Dispatch, Poller, best_poller
from probe_sidecar.probes.prepare import PreparedProbe

MAX_TRIES: Final = 3
RETRY_DELAY: Final = 0.05
"""Seconds before an UNKNOWN is tried again: time for other probes to give back what was short."""
HEARTBEAT: Final = 0.05
"""Seconds between two looks at the clock while probes are in flight; what a look is late, the process was away."""
RECEIVE: Final = 16_384
RESPONSE_LIMIT: Final = 1 << 18
"""Bytes that one conversation may receive; every protocol is done long before, unless the peer floods it."""
TURN_SECONDS: Final = 0.005
"""After so long the other work of the loop gets its turn; what is left of the events, time-outs or connects follows."""
FREE_READS: Final = 16
"""Pieces that a probe may read before it is read slowly: a TLS handshake with a long chain and a body take ten."""
REDIRECT_READS: Final = 4
"""A redirect counts as so many of them: it may mean another TLS handshake."""
HEAVY_SECONDS: Final = 0.003
"""A probe is heavy if one piece of its response takes so long; a plain response takes 0.05 ms, a TLS handshake 0.6 ms.
"""
HEAVY_PROBES: Final = 10
"""So many further probes of a target with a heavy one are read slowly from their beginning."""
LANE_SECONDS: Final = 0.02
"""Between two turns of the probes that are read slowly. They take at most a quarter of the process's time, together."""
COMPLAINT_SECONDS: Final = 60.0
"""Between two log lines that say that probes wait for a place."""
RESERVED_DESCRIPTORS: Final = 128
"""Left to the API client, the health server, the standard streams, and to the sockets that are closed together."""
TOGETHER: Final = 64
"""So many sockets are made, then connected, then watched, and so many closed at a time: what a step needs of the
processor's caches is warm for all but the first (docs/performance.md)."""
HIGHEST_LIMIT: Final = 16_384

Done = Callable[[Outcome, float], None]

# The C type itself: socket.socket wraps it in Python methods for files and context managers that a probe never uses.
_Socket = socket.SocketType
_NONBLOCKING: Final = getattr(socket, "SOCK_NONBLOCK", 0)
_STREAM: Final = socket.SOCK_STREAM | _NONBLOCKING
_IPV4: Final = socket.AF_INET
_IPV6: Final = socket.AF_INET6
_TCP: Final = socket.IPPROTO_TCP
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)

_GONE: Final = HUP | RDHUP | ERR
_HEARD: Final = IN | _GONE
_PENDING: Final = errno.EINPROGRESS
_WAS_CONNECTED: Final = frozenset({0, errno.ECONNRESET, errno.EPIPE})
_ANSWERS: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})
"""Errors that the other side has made; the others come from a router, or from this machine."""
_UNREADABLE: Final = (ValueError, LookupError, ArithmeticError, RecursionError, SSLError)
"""Errors that a value in a response can cause if a reader does not check it. The address has sent it."""
_FAULTS: Final = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
        errno.EAGAIN,
        errno.EAFNOSUPPORT,
        errno.EINVAL,
        errno.EBADF,
        errno.EACCES,
        errno.EPERM,
    }
)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class ProbeHandle:
    """One started probe: what `cancel` takes. Its fields are the engine's."""

    probe: PreparedProbe
    done: Done | None  # None once delivered or cancelled
    hop: Hop | None
    sock: socket.SocketType | None = None
    exchange: FastPath | Exchange | None = None  # None while connecting
    accepted: float = inf  # monotonic, when a connection was accepted for the first time
    pending: bytes = b""  # what the peer has not taken yet
    broken: int = 0  # errno of a failed send, reported only if the peer has sent no response
    received: int = 0
    reads: int = 0
    placed: bool = False  # it counts among the places of its namespace
    slow: bool = False  # read in the slow lane, not at its events
    deadlines: "dict[ProbeHandle, float] | None" = None
    started: float = 0.0  # monotonic
    away: float = 0.0  # the engine's `away` when this try began
    tries: int = 0


class ProbeEngine:
    """Runs probes. `limit` bounds those in flight (default: what RLIMIT_NOFILE leaves); the others wait.

    `delayed` counts those that had to. Waiting is no evidence: a probe's time-out begins when it connects (R7). `away`
    are the seconds in which this process was not running although probes were in flight (R7).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        limit: int | None = None,
        poller: Callable[[asyncio.AbstractEventLoop, Dispatch], Poller] = best_poller,
    ) -> None:
        self._loop = loop
        self.limit = default_limit() if limit is None else limit
        self._poller = poller(loop, self._dispatch)
        self._edges = self._poller.edges
        self._flights: dict[int, ProbeHandle] = {}  # by descriptor
        self._waiting: FairQueue[ProbeHandle] = FairQueue()
        self._held: dict[str, int] = {}  # places by namespace
        self._half = max(1, self.limit // 2)
        self._unreserved = self.limit - self.limit // 4
        self._started: deque[ProbeHandle] = deque()  # they have a place, and are to be connected next
        self._deadlines: dict[float, dict[ProbeHandle, float]] = {}  # by time-out: each in order, for free
        self._handshakes: dict[ProbeHandle, float] = {}
        self.away = 0.0
        self._beat: asyncio.TimerHandle | None = None
        self._beat_due = 0.0
        self._dispatching = False  # events are being handled, or wait in `_late`
        self._late: deque[tuple[int, int]] = deque()
        self._lane: OrderedDict[ProbeHandle, None] = OrderedDict()
        self._lane_timer: asyncio.TimerHandle | None = None
        self._ended: list[socket.SocketType] = []  # to close together
        self._closed = False
        self._complained_at = float("-inf")
        self.delayed = 0

    @property
    def in_flight(self) -> int:
        """Probes that hold a connection, or are about to."""
        return len(self._flights) + len(self._started)

    @property
    def waiting(self) -> int:
        """Probes that wait for one of `limit` places."""
        return len(self._waiting)

    def waited(self, handle: ProbeHandle) -> float:
        """Seconds for which a probe has been waiting for a place; 0 if it is not waiting."""
        return monotonic() - handle.started if handle in self._waiting else 0.0

    def start(self, probe: PreparedProbe, done: Done) -> ProbeHandle:
        """Begin a probe soon: with the next `launch`, which comes by itself.

        `done(outcome, seconds)` is called once, later, on the loop's thread, unless cancelled.
        """
        handle = ProbeHandle(probe, done, probe.hop)
        if probe.hop is None:
            handle.started = monotonic()
            self._loop.call_soon(self._deliver, handle, probe.refusal or _fault("nothing to probe"))
        elif not self._waiting.waits(probe.group[0]) and self._may_take(probe.group[0]):
            self._take_place(handle)
        else:
            self._delay(handle)
            self._refill()  # also if a place was free for a moment
        return handle

    def launch(self) -> None:
        """Connect those that have been started, a few at a time step by step.

        Never amid a batch of events: a descriptor must not be used again while events of its last user may be queued.
        Probes that callbacks start meanwhile wait for the next turn of the loop.
        """
        if self._dispatching:
            return
        ends = monotonic() + TURN_SECONDS
        for left in range(len(self._started), 0, -TOGETHER):
            opened = [
                handle
                for _ in range(min(left, TOGETHER))
                if self._started and self._open(handle := self._started.popleft())
            ]
            for handle in opened:
                self._connect(handle)
            self._watch(opened)
            if monotonic() > ends:
                break
        if self._started:
            self._loop.call_soon(self.launch)

    def cancel(self, handle: ProbeHandle) -> None:
        """End it quietly; `done` is not called any more. Harmless on one that has ended."""
        handle.done = None
        self._waiting.discard(handle)
        if handle in self._started:
            self._started.remove(handle)
        self._release(handle)
        self._refill()

    def close(self) -> None:
        """Cancel everything and give back all descriptors."""
        self._closed = True
        self._waiting.clear()
        self._started.clear()
        self._late.clear()
        self._dispatching = False
        _close(self._ended)
        for handle in list(self._flights.values()):
            self.cancel(handle)
        for timer in (self._beat, self._lane_timer):
            if timer is not None:
                timer.cancel()
        self._poller.close()

    # A probe's way: enter, open, connect, begin, [send, receive]..., finish.

    def _enter(self, handle: ProbeHandle) -> None:
        if not self._started and not self._dispatching:
            self._loop.call_soon(self.launch)
        self._started.append(handle)

    def _delay(self, handle: ProbeHandle) -> None:
        self._waiting.push(handle, handle.probe.group)
        self.delayed += 1
        handle.started = now = monotonic()
        if now - self._complained_at >= COMPLAINT_SECONDS:
            self._complained_at = now
            _log.warning(
                "the limit of %d concurrent probes is reached, %d probes had to wait: %s",
                self.limit,
                self.delayed,
                message.MORE_PROBES,
            )

    def _open(self, handle: ProbeHandle) -> bool:
        hop = handle.hop
        assert hop is not None  # noqa: S101 - `start` has looked
        if handle.done is None:
            return False  # it has timed out on its way to another hop
        try:
            handle.sock = sock = _Socket(_IPV4 if len(hop.address) == 2 else _IPV6, _STREAM)
        except OSError as error:
            self._time(handle)
            self._finish(handle, network_outcome(error.errno or 0))
            return False
        self._flights[sock.fileno()] = handle
        return True

    def _connect(self, handle: ProbeHandle) -> None:
        hop, sock = handle.hop, handle.sock
        if sock is None or hop is None:
            return  # cancelled by the listener of one that failed at once
        self._time(handle)
        if not _NONBLOCKING:
            sock.setblocking(False)
        if hop.speaks and _QUICKACK is not None:
            # The last ACK of the handshake then travels with the request: a packet less, and the server is woken once.
            sock.setsockopt(_TCP, _QUICKACK, 0)
        try:
            failed = sock.connect_ex(hop.address)
        except Exception as error:
            self._blame_ourselves(handle, error)
        else:
            if failed and failed != _PENDING:
                self._finish(handle, network_outcome(failed))

    def _watch(self, handles: Iterable[ProbeHandle]) -> None:
        add = self._poller.add
        for handle in handles:
            if handle.sock is not None:
                try:
                    add(handle.sock.fileno())
                except OSError as error:  # fs.epoll.max_user_watches
                    self._finish(handle, _fault(message.network(error.errno or 0)))

    def _time(self, handle: ProbeHandle) -> None:
        """A try begins now, unless it has led on to another hop."""
        if handle.deadlines is not None:
            return
        now = monotonic()
        if now > self._beat_due:
            self._note_absence(now)
        if not handle.tries:
            handle.started = now
        handle.tries += 1
        if handle.probe.heavy:
            handle.probe.heavy -= 1
            handle.slow = True
        handle.away = away = self.away
        timeout = handle.probe.timeout
        deadlines = self._deadlines.get(timeout)
        if deadlines is None:
            deadlines = self._deadlines[timeout] = {}
        deadlines[handle] = now - away + timeout
        handle.deadlines = deadlines
        if self._beat is None:
            self._arm(now, min(HEARTBEAT, timeout))

    def _dispatch(self, events: Iterable[tuple[int, int]]) -> None:
        if self._late:
            self._late.extend(events)
        else:
            self._handle(events)

    def _handle(self, events: Iterable[tuple[int, int]]) -> None:
        """Handle events for TURN_SECONDS; the others follow when the loop comes round."""
        flights = self._flights
        now = monotonic()
        if now > self._beat_due:
            self._note_absence(now)
        ends = now + TURN_SECONDS
        self._dispatching = True
        left = iter(events)
        for descriptor, mask in left:
            handle = flights.get(descriptor)
            if handle is not None:
                self._advance(handle, mask)
                before, now = now, monotonic()
                if now - before > HEAVY_SECONDS:
                    self._note_heavy(handle)
                if now > ends:
                    self._late.extend(left)
        if self._late:
            self._loop.call_soon(self._go_on)
        else:
            self._dispatching = False
            _close(self._ended)
            self.launch()

    def _go_on(self) -> None:
        late, self._late = self._late, deque()
        if not self._closed:
            self._handle(late)

    def _advance(self, handle: ProbeHandle, mask: int) -> None:
        try:
            if handle.exchange is None:
                self._begin(handle, mask)
            else:
                self._receive(handle, mask)
        except _UNREADABLE as error:
            _log.error("the response of %s cannot be parsed", handle.hop and handle.hop.address[0], exc_info=error)
            self._finish(handle, Outcome(FAILURE, message.UNREADABLE))
        except Exception as error:
            self._blame_ourselves(handle, error)

    # Probes that take much time or bring many pieces are read slowly, so that they cannot delay the others (R10).

    def _note_heavy(self, handle: ProbeHandle) -> None:
        handle.probe.heavy = HEAVY_PROBES
        self._slow_down(handle)

    def _slow_down(self, handle: ProbeHandle) -> None:
        """From now on it is read in the slow lane: its socket has no events any more."""
        handle.slow = True
        if handle.sock is None or handle in self._lane:
            return
        self._poller.pause(handle.sock.fileno())
        self._lane[handle] = None
        if self._lane_timer is None:
            self._lane_timer = self._loop.call_later(LANE_SECONDS, self._read_lane)

    def _read_lane(self) -> None:
        """Read a piece of each, in turn, for TURN_SECONDS."""
        now = monotonic()
        ends = now + TURN_SECONDS
        for _ in range(len(self._lane)):
            if not self._lane:
                break
            handle = next(iter(self._lane))
            self._lane.move_to_end(handle)
            self._advance(handle, IN)
            before, now = now, monotonic()
            if now - before > HEAVY_SECONDS:
                handle.probe.heavy = HEAVY_PROBES
            if now > ends:
                break
        self._lane_timer = self._loop.call_later(LANE_SECONDS, self._read_lane) if self._lane else None

    def _blame_ourselves(self, handle: ProbeHandle, error: Exception) -> None:
        _log.error("a probe of %s failed in the prober", handle.hop and handle.hop.address[0], exc_info=error)
        if handle.done is not None:
            self._time(handle)
            self._finish(handle, _fault(type(error).__name__))

    def _begin(self, handle: ProbeHandle, mask: int) -> None:
        """The connection is established, or it has failed."""
        hop, sock = handle.hop, handle.sock
        assert hop is not None and sock is not None  # noqa: S101, PT018 - a probe in `_flights` has both
        if mask & _GONE:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code not in _WAS_CONNECTED:
                self._finish(handle, network_outcome(code))
                return
        if handle.accepted == inf:
            handle.accepted = monotonic()
        if hop.handshake is not None and handle.probe.timeout > hop.handshake:
            self._handshakes[handle] = monotonic() - self.away + hop.handshake
        handle.exchange = exchange = hop.shared or hop.start()
        if self._obey(handle, exchange.begin()):
            return
        if handle.slow:
            self._slow_down(handle)
        elif mask & _HEARD:
            self._receive(handle, mask)

    def _receive(self, handle: ProbeHandle, mask: int) -> None:
        """Read until the kernel has no more: edge-triggered, no further event announces a FIN.

        In the slow lane it is one piece at a time.
        """
        sock = handle.sock
        assert sock is not None  # noqa: S101 - as above
        if handle.pending:
            self._send(handle, sock, handle.pending)
        while True:
            exchange = handle.exchange
            assert exchange is not None  # noqa: S101 - as above
            try:
                data = sock.recv(RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                self._finish(handle, network_outcome(error.errno or 0))
                return
            if not data and handle.broken:
                self._finish(handle, network_outcome(handle.broken))
                return
            if self._obey(handle, exchange.feed(data)):
                return
            handle.received += len(data)
            handle.reads += 1
            if handle.received > RESPONSE_LIMIT:
                self._finish(handle, Outcome(FAILURE, message.RESPONSE_TOO_LARGE))
            elif handle.slow or handle.reads > FREE_READS:
                self._slow_down(handle)
            elif len(data) == RECEIVE or mask & _GONE:
                continue
            return

    def _obey(self, handle: ProbeHandle, step: Step | Exchange) -> bool:
        """Perform the action that the exchange returned. True if this connection is done with."""
        if isinstance(step, Outcome):
            self._finish(handle, step)
            return True
        if isinstance(step, bytes):
            assert handle.sock is not None  # noqa: S101 - as above
            self._send(handle, handle.sock, handle.pending + step if handle.pending else step)
        elif isinstance(step, Hop):
            self._change_hop(handle, step)
            return True
        elif step is not None:
            handle.exchange = step
        return False

    def _change_hop(self, handle: ProbeHandle, hop: Hop) -> None:
        if handle.sock is not None:
            self._drop(handle, handle.sock)
        _forget_connection(handle, hop)
        handle.reads += REDIRECT_READS
        handle.slow |= handle.reads > FREE_READS
        self._enter(handle)

    def _send(self, handle: ProbeHandle, sock: socket.SocketType, data: bytes) -> None:
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            # The peer may have sent a response before it closed, so read first.
            handle.broken, sent = error.errno or 0, len(data)
        handle.pending = b"" if sent == len(data) else data[sent:]
        if handle.pending:
            self._poller.want_write(sock.fileno())

    def _finish(self, handle: ProbeHandle, outcome: Outcome) -> None:
        self._release(handle)
        if outcome.result is SUCCESS:
            self._deliver(handle, outcome)
        else:
            self._weigh(handle, outcome)
        if self._waiting:
            self._refill()

    def _weigh(self, handle: ProbeHandle, outcome: Outcome) -> None:
        """Hold against the address only what it has done; what was our own fault is tried again."""
        away = self.away - handle.away
        if away >= handle.probe.timeout and outcome.result is FAILURE:
            outcome = _fault(f"away for {away:.1f} s")
        if outcome.no_response and accepted_in_time(handle.accepted - handle.started, handle.probe.timeout):
            outcome = outcome._replace(no_response=False)
        if outcome.result is UNKNOWN and handle.tries < MAX_TRIES:
            self._loop.call_later(RETRY_DELAY, self._retry, handle)
        else:
            self._deliver(handle, outcome)

    def _retry(self, handle: ProbeHandle) -> None:
        if handle.done is not None and not self._closed:
            _forget_connection(handle, handle.probe.hop)
            self._waiting.push(handle, handle.probe.group)
            self._refill()

    def _deliver(self, handle: ProbeHandle, outcome: Outcome) -> None:
        done, handle.done = handle.done, None
        if done is None or self._closed:
            return
        try:
            done(outcome, monotonic() - handle.started)
        except Exception as error:
            # The other events of this batch come only once, so a listener's bug must not end it.
            self._loop.call_exception_handler({"message": "the listener of a probe failed", "exception": error})

    def _refill(self) -> None:
        """Waiting probes, by turns for each namespace and each of its ExternalServices."""
        while self._waiting and self.in_flight < self.limit:
            handle = self._waiting.pop(self._may_take)
            if handle is None:
                return
            self._take_place(handle)

    # Places. A namespace with half of them leaves a quarter free for the others, so that none can take all (R10).

    def _may_take(self, namespace: str) -> bool:
        in_flight = len(self._flights) + len(self._started)
        if in_flight < self._unreserved:
            return True
        return in_flight < self.limit and (not namespace or self._held.get(namespace, 0) < self._half)

    def _take_place(self, handle: ProbeHandle) -> None:
        namespace = handle.probe.group[0]
        self._held[namespace] = self._held.get(namespace, 0) + 1
        handle.placed = True
        self._enter(handle)

    def _release(self, handle: ProbeHandle) -> None:
        """It has ended: it is not timed any more, and its connection and its place are given back."""
        if handle.deadlines is not None:
            del handle.deadlines[handle]
            handle.deadlines = None
        if handle.sock is not None:
            self._drop(handle, handle.sock)
        if handle.placed:
            handle.placed = False
            namespace = handle.probe.group[0]
            left = self._held[namespace] - 1
            if left:
                self._held[namespace] = left
            else:
                del self._held[namespace]

    def _drop(self, handle: ProbeHandle, sock: socket.SocketType) -> None:
        handle.sock = None
        if self._handshakes:
            self._handshakes.pop(handle, None)
        if self._lane:
            self._lane.pop(handle, None)
        descriptor = sock.fileno()
        del self._flights[descriptor]
        if not self._edges:
            self._poller.remove(descriptor)
        if not self._dispatching:
            sock.close()
            return
        self._ended.append(sock)
        if len(self._ended) == TOGETHER:
            _close(self._ended)

    # Time. Deadlines count only the time in which this process ran (ADR 3).

    def _arm(self, now: float, delay: float) -> None:
        self._beat_due = now + delay
        self._beat = self._loop.call_later(delay, self._on_beat)

    def _note_absence(self, now: float) -> None:
        """Called before anything is judged, if `now` is later than the heartbeat: by so much this process was away."""
        if self._flights and self._beat is not None:
            self.away += now - self._beat_due
            self._beat_due = now

    def _on_beat(self) -> None:
        now = monotonic()
        if now > self._beat_due:
            self._note_absence(now)
        self._beat = None
        for timeout in [timeout for timeout, queue in self._deadlines.items() if not queue]:
            del self._deadlines[timeout]
        if self._next_deadline() <= now - self.away:
            self._poller.drain()  # what has arrived in time but was not read yet counts
            if not self._late:
                self._expire(now - self.away)
        if self._beat is None and self._deadlines:
            now = monotonic()
            self._arm(now, max(0.0, min(HEARTBEAT, self._next_deadline() - (now - self.away))))

    def _next_deadline(self) -> float:
        queues = [*self._deadlines.values(), self._handshakes]
        return min((next(iter(queue.values())) for queue in queues if queue), default=float("inf"))

    def _expire(self, now: float) -> None:
        """Expire the deadlines that are due, for TURN_SECONDS; the next heartbeat is due at once and continues."""
        ends = monotonic() + TURN_SECONDS
        for timeout, queue in list(self._deadlines.items()):
            for handle in _due(queue, now):
                self._time_out(handle, timeout)
                if monotonic() > ends:
                    return
        for handle in _due(self._handshakes, now):
            self._handshakes.pop(handle, None)
            if handle.exchange is not None and handle.exchange.phase == message.TLS_HANDSHAKE and handle.hop:
                self._time_out(handle, handle.hop.handshake or 0.0)

    def _time_out(self, handle: ProbeHandle, seconds: float) -> None:
        if handle.deadlines is None:
            return  # cancelled by the listener of one that timed out with it
        if handle.exchange is None:
            where = message.CONNECTING
        else:
            where = message.SENDING if handle.pending else handle.exchange.phase
        self._finish(handle, Outcome(FAILURE, message.timed_out(seconds, where), no_response=True))


def accepted_in_time(after: float, timeout: float) -> bool:
    """Whether an address that accepts a connection `after` so many seconds of its probe still had time to respond."""
    return after <= RESPONDS_WITHIN * timeout


def default_limit(watches: int = 0) -> int:
    """Number of connections that the soft RLIMIT_NOFILE permits beside so many watches, at most HIGHEST_LIMIT."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return HIGHEST_LIMIT
    return max(1, min(HIGHEST_LIMIT, soft - RESERVED_DESCRIPTORS - watches))


def _close(socks: list[socket.SocketType]) -> None:
    while socks:
        socks.pop().close()


def _forget_connection(handle: ProbeHandle, hop: Hop | None) -> None:
    """The next one is another."""
    handle.hop = hop
    handle.exchange = None
    handle.pending = b""
    handle.broken = handle.received = 0


def _due(queue: dict[ProbeHandle, float], now: float) -> list[ProbeHandle]:
    due = []
    for handle, deadline in queue.items():
        if deadline > now:
            break
        due.append(handle)
    return due


def network_outcome(code: int) -> Outcome:
    """Outcome for an errno of connect, send or recv: a failure of the address, or a prober fault."""
    if code in _FAULTS:
        return _fault(message.network(code))
    return Outcome(FAILURE, message.network(code), no_response=code not in _ANSWERS)


def _fault(what: str) -> Outcome:
    return Outcome(UNKNOWN, message.fault(what))

"""The engine on real sockets of loopback, with each of its pollers."""

import asyncio
import contextlib
import errno
import resource
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from external_service.core import GRPCAction, HTTPGetAction, HTTPHeader, Probe, TCPSocketAction
from probe_sidecar.probes.engine import MAX_TRIES, ProbeEngine, ProbeHandle, default_limit, network_outcome
from probe_sidecar.probes.exchange import Hop, Outcome, Reading, Result, Step, tcp_hop
from probe_sidecar.probes.frames import PING, SETTINGS, frame
from probe_sidecar.probes.message import (
    CONNECTING,
    MORE_PROBES,
    SENDING,
    UNREADABLE,
    WAITING,
    connection_ended,
    timed_out,
)
from probe_sidecar.probes.poller import LoopPoller
from probe_sidecar.probes.prepare import PreparedProbe, prepare
from tests.cases import cases
from tests.e2e.namespace import NamespacesMissing, require, sealed
from tests.unit.probe_sidecar.probes.conftest import Judge, Serve
from tests.unit.probe_sidecar.probes.parts import OK, SUCCESS, failure
from tests.unit.probe_sidecar.probes.servers import Script, read_head, resets, resets_at_once, says, silent
from tests.until import until

CONNECTED = Outcome(Result.SUCCESS, "connected")


def http(port: int, *, timeout: float = 5.0, ip: str = "127.0.0.1", **action: object) -> PreparedProbe:
    probe = Probe.model_validate({"httpGet": {"port": port, **action}})
    return PreparedProbe(prepare(probe, ip).hop, timeout)


def tcp(port: int, *, timeout: float = 5.0) -> PreparedProbe:
    return PreparedProbe(prepare(Probe(tcpSocket=TCPSocketAction(port=port)), "127.0.0.1").hop, timeout)


def grpc(port: int, *, timeout: float = 5.0) -> PreparedProbe:
    return PreparedProbe(prepare(Probe(grpc=GRPCAction(port=port)), "127.0.0.1").hop, timeout)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A listener whose queue of connections is full, so that the kernel drops every further SYN: a black hole."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener


@cases(
    "script outcome",
    ("success-without-waiting-for-the-end", says(OK, stay=True), SUCCESS),
    ("slow-drip", says(*[OK[at : at + 5] for at in range(0, len(OK), 5)], gap=0.01), SUCCESS),
)
async def test_http_results(judge: Judge, serve: Serve, script: Script, outcome: Outcome) -> None:
    server = serve(script)
    assert await judge(http(server.port)) == outcome
    assert server.connections == 1, "line-21-neither-success-nor-failure-is-retried"


@pytest.mark.parametrize("make", [http, tcp, grpc])
async def test_line_13_refused_connection(judge: Judge, closed_port: int, make: Callable[..., PreparedProbe]) -> None:
    assert await judge(make(closed_port, timeout=600)) == failure("connection refused"), "line-19: at once"


@pytest.mark.parametrize("make", [http, tcp, grpc])
async def test_line_16_dropped_packets_time_out(
    judge: Judge, deaf: socket.socket, make: Callable[..., PreparedProbe]
) -> None:
    outcome = await judge(make(deaf.getsockname()[1], timeout=0.2))
    assert outcome == Outcome(Result.FAILURE, timed_out(0.2, CONNECTING), no_response=True)


async def test_connection_accepted_too_late_is_no_response(judge: Judge, deaf: socket.socket) -> None:
    """As when the network returns: TCP repeats its first packet after a second."""
    judged = asyncio.ensure_future(judge(http(deaf.getsockname()[1], timeout=1.3)))
    await asyncio.sleep(0.2)
    deaf.listen(100)
    assert await judged == Outcome(Result.FAILURE, timed_out(1.3, WAITING), no_response=True)


@cases(
    "code no_response",
    ("refused", errno.ECONNREFUSED, False),
    ("reset", errno.ECONNRESET, False),
    ("no-route-to-host", errno.EHOSTUNREACH, True),
    ("network-unreachable", errno.ENETUNREACH, True),
    ("given-up-by-the-kernel", errno.ETIMEDOUT, True),
    ("our-interface-is-down", errno.ENETDOWN, True),
)
def test_only_actions_of_the_address_are_a_response(code: int, no_response: bool) -> None:
    outcome = network_outcome(code)
    assert (outcome.result, outcome.no_response) == (Result.FAILURE, no_response)


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
async def test_address_without_a_route_has_no_response(engine: ProbeEngine, ip: str) -> None:
    """In a network namespace that has no route; nothing is sent."""
    try:
        require()
    except NamespacesMissing as why:
        pytest.skip(str(why))
    with sealed():
        outcomes, _ = counted(engine, http(80, ip=ip))
    await until(lambda: bool(outcomes))
    assert outcomes == [Outcome(Result.FAILURE, "network is unreachable", no_response=True)]


async def test_line_16_reset_after_accept_is_a_success(engine: ProbeEngine, serve: Serve) -> None:
    server = serve(resets_at_once)
    outcomes, _ = counted(engine, tcp(server.port))
    time.sleep(0.1)  # noqa: ASYNC251 - the reset is in the kernel by then
    await until(lambda: bool(outcomes))
    assert outcomes == [CONNECTED]


async def test_line_16_tcp_probe_sends_nothing(judge: Judge, serve: Serve) -> None:
    server = serve(silent)
    assert await judge(tcp(server.port)) == CONNECTED
    await until(lambda: server.requests == [b""])


async def test_line_5_each_probe_opens_a_connection(judge: Judge, serve: Serve) -> None:
    server = serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", stay=True))
    probe = http(server.port)
    assert [await judge(probe) for _ in range(3)] == [SUCCESS] * 3
    assert server.connections == 3


async def test_line_1_ipv6_address(judge: Judge, serve: Serve) -> None:
    server = serve(says(OK), ip="::1")
    assert await judge(http(server.port, ip="::1")) == SUCCESS
    await until(lambda: bool(server.requests))
    assert f"\r\nHost: [::1]:{server.port}\r\n".encode() in server.requests[0]


async def test_request_larger_than_the_socket_buffers(judge: Judge, serve: Serve) -> None:
    def slow_reader(connection: socket.socket) -> bytes:
        time.sleep(0.05)
        head = read_head(connection)
        connection.sendall(OK)
        return head

    server = serve(slow_reader)
    headers = [HTTPHeader(name=f"X-{n}", value="x" * 8_192) for n in range(64)] * 16
    probe = Probe.model_construct(httpGet=HTTPGetAction.model_construct(port=server.port, httpHeaders=tuple(headers)))
    assert await judge(PreparedProbe(prepare(probe, "127.0.0.1").hop, 10.0)) == SUCCESS
    await until(lambda: bool(server.requests))
    assert len(server.requests[0]) > 8_000_000


async def test_peer_that_does_not_read_times_out(judge: Judge, serve: Serve) -> None:
    def deaf(connection: socket.socket) -> bytes:
        time.sleep(1)
        return b""

    header = HTTPHeader.model_construct(name="X", value="x" * 20_000_000)
    action = HTTPGetAction.model_construct(port=serve(deaf).port, httpHeaders=(header,))
    probe = PreparedProbe(prepare(Probe.model_construct(httpGet=action), "127.0.0.1").hop, 0.2)
    assert await judge(probe) == failure(timed_out(0.2, SENDING))


def counted(engine: ProbeEngine, probe: PreparedProbe) -> tuple[list[Outcome], ProbeHandle]:
    outcomes: list[Outcome] = []
    handle = engine.start(probe, lambda outcome, _seconds: outcomes.append(outcome))
    engine.launch()
    return outcomes, handle


def redirect(location: str) -> Script:
    return says(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())


async def test_line_7_timeout_includes_redirects(judge: Judge, serve: Serve) -> None:
    server = serve(redirect("/"), redirect("/"), silent)
    assert await judge(http(server.port, timeout=0.3)) == failure(timed_out(0.3, WAITING))
    assert server.connections == 3


async def test_http2_pings_are_answered(judge: Judge, serve: Serve) -> None:
    def asks_first(connection: socket.socket) -> bytes:
        connection.sendall(frame(SETTINGS, 0, 0) + frame(PING, 0, 0, b"eightoct"))
        received = b""
        while frame(PING, 1, 0, b"eightoct") not in received:
            received += connection.recv(4_096)
        connection.sendall(frame(7, 0, 0, bytes(8)))
        return received

    assert await judge(grpc(serve(asks_first).port)) == failure(connection_ended("NO_ERROR"))


# Our own faults are no evidence against an address.


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_line_21_no_descriptor_is_unknown_after_three_tries(judge: Judge, serve: Serve) -> None:
    server = serve(silent)
    with no_descriptors_left():
        outcome = await judge(tcp(server.port))
    assert outcome == Outcome(Result.UNKNOWN, "prober fault: too many open files")
    assert server.connections == 0


async def test_line_21_exception_is_unknown_after_three_tries(
    judge: Judge, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(silent)

    def broken() -> Reading[Step]:
        raise TypeError("a bug")

    outcome = await judge(PreparedProbe(Hop(("127.0.0.1", server.port), broken), 5.0))
    assert outcome == Outcome(Result.UNKNOWN, "prober fault: TypeError")
    await until(lambda: server.connections == MAX_TRIES)
    assert [record.exc_info is not None for record in caplog.records] == [True] * MAX_TRIES


async def test_exception_in_a_listener_affects_no_other_probe(engine: ProbeEngine, serve: Serve) -> None:
    server = serve(says(OK))
    loop, reported = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: reported.append(context["message"]))

    def fails(outcome: Outcome, seconds: float) -> None:
        raise RuntimeError

    for _ in range(3):
        engine.start(http(server.port), fails)
    outcomes, _ = counted(engine, http(server.port))
    await until(lambda: len(reported) == 3 and outcomes == [SUCCESS])
    assert reported == ["the listener of a probe failed"] * 3


class LastMomentPoller(LoopPoller):
    """Reports what can be read only when it is drained: a response that came while the loop was busy."""

    def _on_readable(self, descriptor: int) -> None:
        pass


async def test_r7_response_received_by_the_deadline_counts(serve: Serve) -> None:
    server = serve(says(OK, stay=True))
    engine = ProbeEngine(asyncio.get_running_loop(), poller=LastMomentPoller)
    outcomes, _ = counted(engine, http(server.port, timeout=0.1))
    await until(lambda: bool(outcomes))
    engine.close()
    assert outcomes == [SUCCESS]


async def test_r7_blocked_loop_does_not_shorten_the_timeout(engine: ProbeEngine, serve: Serve) -> None:
    server = serve(says(OK, stay=True))
    outcomes, _ = counted(engine, http(server.port, timeout=0.2))
    time.sleep(0.6)  # noqa: ASYNC251 - before the connection was even seen to stand
    await until(lambda: bool(outcomes))
    assert outcomes == [SUCCESS]
    assert engine.away > 0.3


async def test_r7_failure_after_suspension_is_retried(engine: ProbeEngine, serve: Serve) -> None:
    server = serve(lambda _connection: b"", says(OK, stay=True))
    outcomes, _ = counted(engine, http(server.port, timeout=0.2))
    time.sleep(0.6)  # noqa: ASYNC251 - a server may lose patience with a client that is away
    await until(lambda: bool(outcomes))
    assert (outcomes, server.connections) == ([SUCCESS], 2)


async def test_r7_dead_server_fails_after_suspension(engine: ProbeEngine, serve: Serve) -> None:
    server = serve(silent)
    outcomes, _ = counted(engine, http(server.port, timeout=0.2))
    await until(lambda: server.connections == 1)
    asyncio.get_running_loop().call_soon(time.sleep, 0.6)
    await until(lambda: bool(outcomes))
    assert outcomes == [failure(timed_out(0.2, WAITING))]
    assert server.connections == 2, "the try that the absence spoiled was made again"


# Life and bounds.


async def test_done_is_never_called_from_inside_start(engine: ProbeEngine, closed_port: int) -> None:
    refusal = failure("cannot be sent")
    inside, called = True, []
    for probe in (PreparedProbe(None, 1.0, refusal), http(closed_port), http(1, ip="255.255.255.255")):
        engine.start(probe, lambda outcome, seconds: called.append((inside, outcome)))
    inside = False
    await until(lambda: len(called) == 3)
    assert (False, refusal) in called
    assert {was_inside for was_inside, _ in called} == {False}


async def test_waiting_probes_are_logged_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(says(OK))
    engine = ProbeEngine(asyncio.get_running_loop(), limit=1)
    outcomes = [counted(engine, http(server.port))[0] for _ in range(5)]
    await until(lambda: all(outcomes))
    engine.close()
    assert engine.delayed == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"the limit of 1 concurrent probes is reached, 1 probes had to wait: {MORE_PROBES}"
    ]


async def test_waiting_does_not_count_against_the_timeout(serve: Serve) -> None:
    slow, fast = serve(silent), serve(says(OK))
    engine = ProbeEngine(asyncio.get_running_loop(), limit=1)
    counted(engine, http(slow.port, timeout=0.4))
    outcomes, _ = counted(engine, http(fast.port, timeout=0.2))
    await until(lambda: bool(outcomes))
    engine.close()
    assert outcomes == [SUCCESS]


async def test_restarted_probe_waits_behind_earlier_ones(serve: Serve) -> None:
    """Otherwise one slow address, whose next probe is already due, would keep its place forever."""
    slow, fast = serve(silent), serve(says(OK))
    engine = ProbeEngine(asyncio.get_running_loop(), limit=1)
    ends: list[str] = []

    def again(_outcome: Outcome, _seconds: float) -> None:
        ends.append("slow")
        if len(ends) < 5:
            engine.start(http(slow.port, timeout=0.05), again)

    engine.start(http(slow.port, timeout=0.05), again)
    for _ in range(2):
        engine.start(http(fast.port), lambda *_: ends.append("fast"))
    await until(lambda: len(ends) >= 4)
    engine.close()
    assert ends[:4] == ["slow", "fast", "fast", "slow"]


async def test_waiting_time_of_a_probe_is_recorded(serve: Serve) -> None:
    server = serve(silent)
    engine = ProbeEngine(asyncio.get_running_loop(), limit=1)
    _, first = counted(engine, http(server.port))
    _, waiting = counted(engine, http(server.port))
    await until(lambda: engine.waited(waiting) > 0.05)
    assert engine.waited(first) == 0.0
    engine.cancel(first)
    assert engine.waited(waiting) == 0.0, "it has its place"
    engine.close()


async def test_cancelled_probe_reports_nothing(engine: ProbeEngine, serve: Serve, closed_port: int) -> None:
    server = serve(silent)
    in_flight, handle = counted(engine, http(server.port))
    refused_soon, other = counted(engine, http(closed_port))
    engine.cancel(handle)
    engine.cancel(other)
    engine.cancel(handle)  # twice is harmless
    assert engine.in_flight == 0
    outcomes, last = counted(engine, tcp(server.port))
    await until(lambda: bool(outcomes))
    engine.cancel(last)  # after its end
    assert (in_flight, refused_soon) == ([], [])


def impossible() -> PreparedProbe:
    return PreparedProbe(tcp_hop("127.0.0.1", 70_000), 5.0)


async def test_unwatchable_socket_is_unknown_after_three_tries(closed_port: int) -> None:
    class Full(LoopPoller):
        def add(self, descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "fs.epoll.max_user_watches")

    engine = ProbeEngine(asyncio.get_running_loop(), poller=Full)
    outcomes, handle = counted(engine, tcp(closed_port))
    await until(lambda: bool(outcomes))
    assert outcomes == [Outcome(Result.UNKNOWN, "prober fault: no space left on device")]
    assert (handle.tries, engine.in_flight) == (MAX_TRIES, 0)
    engine.close()


def cancels(engine: ProbeEngine, others: list[ProbeHandle], told: list[str], outcome: Outcome, seconds: float) -> None:
    told.append(outcome.message)
    for other in others:
        engine.cancel(other)


async def test_listener_can_cancel_probes_launched_together(engine: ProbeEngine, closed_port: int) -> None:
    before = descriptors()
    told: list[str] = []
    others: list[ProbeHandle] = []

    others.append(engine.start(tcp(closed_port), lambda *_: told.append("before it")))
    engine.start(impossible(), partial(cancels, engine, others, told)).tries = MAX_TRIES - 1
    others.append(engine.start(tcp(closed_port), lambda *_: told.append("after it")))
    await until(lambda: bool(told))
    await asyncio.sleep(0.05)
    assert (told, engine.in_flight, descriptors()) == (["prober fault: OverflowError"], 0, before)


async def test_listener_can_cancel_and_start_probes(engine: ProbeEngine, serve: Serve, deaf: socket.socket) -> None:
    """The descriptor of a cancelled probe must not be reused while its events may be queued."""
    server = serve(silent)
    wrong: list[Outcome] = []

    async def one_round() -> None:
        others: list[ProbeHandle] = []
        late: list[ProbeHandle] = []

        def first(outcome: Outcome, seconds: float) -> None:
            for other in others:
                engine.cancel(other)
            hopeless = tcp(deaf.getsockname()[1], timeout=60)
            late.extend(engine.start(hopeless, lambda outcome, seconds: wrong.append(outcome)) for _ in range(4))
            engine.launch()

        engine.start(tcp(server.port), first)
        others += [engine.start(tcp(server.port), lambda outcome, seconds: None) for _ in range(3)]
        await until(lambda: bool(late))
        await asyncio.sleep(0.005)
        for handle in late:
            engine.cancel(handle)

    for _ in range(10):
        await one_round()
    assert wrong == []


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_closed_engine_leaves_no_descriptors(serve: Serve, closed_port: int) -> None:
    before = descriptors()
    server = serve(resets)
    engine = ProbeEngine(asyncio.get_running_loop())
    outcomes = [counted(engine, http(port))[0] for port in [server.port, closed_port] * 50]
    await until(lambda: all(outcomes))
    counted(engine, http(server.port))
    engine.close()
    server.close()
    assert (engine.in_flight, engine.waiting) == (0, 0)
    await until(lambda: descriptors() <= before)


async def test_closed_engine_reports_nothing(serve: Serve, closed_port: int) -> None:
    engine = ProbeEngine(asyncio.get_running_loop(), limit=3)
    outcomes = [counted(engine, http(port))[0] for port in [serve(silent).port, closed_port] * 5]
    outcomes.append(counted(engine, PreparedProbe(None, 1.0, failure("cannot be sent")))[0])
    engine.close()
    retried = ProbeEngine(asyncio.get_running_loop(), limit=3)
    with no_descriptors_left():
        outcomes.append(counted(retried, http(closed_port))[0])
        await asyncio.sleep(0)
    retried.close()
    await asyncio.sleep(0.2)
    assert outcomes == [[]] * 12


def test_probe_limit_leaves_descriptors_for_other_uses() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    try:
        assert default_limit() == 896
        assert default_limit(watches=200) == 696
        assert default_limit(watches=2_000) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_unparsable_response_is_a_failure(judge: Judge, serve: Serve) -> None:
    def fails() -> Reading[Step]:
        yield "failing", b"?"
        raise RecursionError

    server = serve(says(b"x", at_once=True))
    probe = PreparedProbe(Hop(("127.0.0.1", server.port), fails), 5.0)
    assert await judge(probe) == failure(UNREADABLE)


async def test_events_beyond_the_time_limit_wait_for_the_next_turn(serve: Serve) -> None:
    engine = ProbeEngine(asyncio.get_running_loop())

    def slow() -> Reading[Step]:
        yield "computing", b"?"
        time.sleep(0.02)
        return SUCCESS

    server, outcomes, seen = serve(says(b"x", stay=True, at_once=True)), list[Outcome](), [0]
    for _ in range(8):
        probe = PreparedProbe(Hop(("127.0.0.1", server.port), slow), 5.0)
        engine.start(probe, lambda outcome, _: outcomes.append(outcome))
    async with asyncio.timeout(10):
        while seen[-1] < 8:
            await asyncio.sleep(0)
            if len(outcomes) > seen[-1]:
                seen.append(len(outcomes))
    assert all(after - before <= 2 for before, after in pairwise(seen))
    engine.close()


async def test_one_namespace_leaves_places_for_the_others(serve: Serve) -> None:
    engine = ProbeEngine(asyncio.get_running_loop(), limit=8)
    mute, web, outcomes = serve(silent), serve(says(OK)), list[Outcome]()
    for number in range(20):
        probe = http(mute.port, timeout=60.0)
        probe.group = "a", f"service-{number % 2}"
        engine.start(probe, lambda outcome, _: None)
    assert (engine.in_flight, engine.waiting) == (6, 14)
    for _ in range(20):
        probe = http(web.port)
        probe.group = "b", "web"
        engine.start(probe, lambda outcome, _: outcomes.append(outcome))
    await until(lambda: len(outcomes) == 20)
    assert (set(outcomes), engine.in_flight, engine.waiting) == ({SUCCESS}, 6, 14)
    engine.close()


async def test_burst_larger_than_an_event_batch(engine: ProbeEngine, serve: Serve) -> None:
    server = serve(says(OK))
    outcomes = [counted(engine, http(server.port))[0] for _ in range(400)]
    await until(lambda: all(outcomes))
    assert outcomes == [[SUCCESS]] * 400

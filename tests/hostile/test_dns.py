"""Hostile DNS responses: a failed lookup with a reason, or addresses; never an exception."""

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import cast

import pytest

from probe_sidecar.hostnames.cache import Reply
from probe_sidecar.hostnames.resolver import TOO_LARGE, UNREADABLE, Resolver, no_response, responded_with

QUESTION = b"\x02db\x07example\x03com\x00"
SILENT = no_response(1)


def response(records: bytes, count: int, *, flags: int = 0x8180, others: int = 0) -> Callable[[bytes], bytes]:
    """A response to the query that it gets."""

    def make(query: bytes) -> bytes:
        return (
            query[:2] + struct.pack("!HHHHH", flags, 1, count, others, 0) + query[12 : 12 + len(QUESTION) + 4] + records
        )

    return make


def a(ip: int, name: bytes = b"\xc0\x0c", ttl: int = 60) -> bytes:
    """An A record."""
    return name + struct.pack("!HHIH", 1, 1, ttl, 4) + struct.pack("!I", ip)


ROWS: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "513 records": (response(b"".join(map(a, range(513))), 513), TOO_LARGE),
    "a count of 65,535": (response(a(1), 65_535), TOO_LARGE),
    "513 records beside the answer": (response(a(1) * 30, 1, others=513), TOO_LARGE),
    "8 KB in one record": (response(b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 0, 9_000) + bytes(9_000), 1), TOO_LARGE),
    "a record that is cut": (response(a(1)[:-2], 1), UNREADABLE),
    "fewer records than announced": (response(a(1), 2), UNREADABLE),
    "an address of 3 bytes": (response(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 3) + b"abc", 1), UNREADABLE),
    "a pointer to itself": (response(a(1, b"\xc0\x1d"), 1), UNREADABLE),
    "a name of 600 bytes": (response(a(1, b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 8 + b"\0"), 1), UNREADABLE),
    "a label of 100 bytes": (response(a(1, b"\x64" + b"x" * 100 + b"\0"), 1), UNREADABLE),
    "nothing but a number": (lambda query: query[:2], UNREADABLE),
    "half a header": (lambda query: query[:7], UNREADABLE),
    "the query": (lambda query: query, UNREADABLE),
    "another number": (lambda query: b"\0\0" + response(a(1), 1)(query)[2:], SILENT),
    "nothing": (lambda query: b"", SILENT),
    "SERVFAIL": (response(b"", 0, flags=0x8182), responded_with("SERVFAIL")),
    "REFUSED": (response(b"", 0, flags=0x8185), responded_with("REFUSED")),
    "an unknown response code": (response(b"", 0, flags=0x818F), responded_with("15")),
    "truncated forever": (response(b"", 0, flags=0x8380), UNREADABLE),
}
GOOD: Mapping[str, Callable[[bytes], bytes]] = {
    "an answer": response(a(1), 1),
    "200 long names": response(a(1) + b"".join(a(i, b"\x01x" * 20 + b"\xc0\x0c") for i in range(100)), 101),
}


class Server(asyncio.DatagramProtocol):
    """Sends the row's response to each query, over UDP and TCP; over UDP after so many with another number."""

    def __init__(self, answer: Callable[[bytes], bytes], before: int = 0) -> None:
        self.answer = answer
        self.before = before
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A query."""
        for answer in (*[b"\0\0"] * self.before, self.answer(data)):
            if self.transport is not None and answer:
                self.transport.sendto(answer, addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries on a connection."""
        size = int.from_bytes(await reader.readexactly(2))
        answer = self.answer(await reader.readexactly(size))
        writer.write(len(answer).to_bytes(2) + answer)
        writer.close()


async def asked(answer: Callable[[bytes], bytes], *, tcp: bool, before: int = 0) -> Reply:
    """Result of a lookup."""
    made = Server(answer)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    udp = Server(response(b"", 0, flags=0x8380) if tcp else answer, before)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: udp, local_addr=("127.0.0.1", port)
    )
    try:
        ipv4, _ = await Resolver([("127.0.0.1", port)], seconds=1).lookup("db.example.com")
        return ipv4
    finally:
        transport.close()
        listening.close()


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(("answer", "problem"), ROWS.values(), ids=ROWS)
async def test_invalid_response_is_a_failed_lookup(answer: Callable[[bytes], bytes], problem: str, tcp: bool) -> None:
    reply = await asked(answer, tcp=tcp)
    if tcp and problem == SILENT:
        assert reply.result == "failed"
    else:
        assert reply == Reply("failed", problem=problem)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD)
async def test_response_within_the_bounds_is_accepted(answer: Callable[[bytes], bytes], tcp: bool) -> None:
    reply = await asked(answer, tcp=tcp)
    assert (reply.result, reply.addresses) == ("ok", ("0.0.0.1",))


async def test_wrong_datagrams_leave_the_loop_its_turns() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    reply = await asked(response(a(1), 1), tcp=False, before=50)
    counting.cancel()
    assert (reply.result, turns > 50) == ("ok", True)

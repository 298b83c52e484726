"""A DNS server with configurable records, on UDP and TCP of one port."""

import asyncio
import itertools
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

UDP_BYTES = 512


@dataclass(frozen=True, slots=True)
class Record:
    """The addresses of a name, and for how many seconds they may be kept."""

    addresses: tuple[str, ...] = ()
    ttl: int = 60


class DnsServer:
    """`records` by name may change at any time."""

    def __init__(self, records: Mapping[str, Record] | None = None) -> None:
        self.records = dict(records or {})
        self.port = 0
        self._turn = itertools.count()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens on UDP and TCP; port 0 takes a free one."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._tcp = await asyncio.start_server(self._serve, host, port, family=family)
        self.port = self._tcp.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(host, self.port))

    async def stop(self) -> None:
        """Closes both sockets."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()
        self._udp = self._tcp = None

    def answer(self, wire: bytes, *, limit: int = 65_535) -> bytes | None:
        """The response to a query, or None for no response. The order of addresses rotates with each response."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        response = dns.message.make_response(query)
        if not self.fill(response, name, kind):
            return None
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def fill(self, response: dns.message.Message, name: str, kind: str) -> bool:
        """Adds the records of a name, or why there are none; False for no response."""
        record = self.records.get(name)
        if record is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif addresses := [ip for ip in record.addresses if (":" in ip) == (kind == "AAAA")]:
            first = next(self._turn) % len(addresses)
            turned = addresses[first:] + addresses[:first]
            response.answer.append(dns.rrset.from_text(f"{name}.", record.ttl, "IN", kind, *turned))
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                answer = self.answer(await reader.readexactly(size))
                if answer is not None:
                    writer.write(len(answer).to_bytes(2) + answer)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client closed the connection
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, limit=UDP_BYTES)
        if answer is not None:
            self._transport.sendto(answer, addr)

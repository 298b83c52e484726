"""A DNS server with configurable records, on UDP."""

import asyncio
import itertools
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


class DnsServer(asyncio.DatagramProtocol):
    """`records` by name may change at any time."""

    def __init__(self, records: Mapping[str, Record] | None = None) -> None:
        self.records = dict(records or {})
        self.port = 0
        self._turn = itertools.count()
        self._udp: asyncio.DatagramTransport | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens on UDP; port 0 takes a free one."""
        loop = asyncio.get_running_loop()
        udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        self.port = udp.get_extra_info("sockname")[1]

    async def stop(self) -> None:
        """Closes the socket."""
        if self._udp is not None:
            self._udp.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self.answer(data, limit=UDP_BYTES)
        if answer is not None and self._udp is not None:
            self._udp.sendto(answer, addr)

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
        except dns.exception.TooBig:  # the client asks again over TCP
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

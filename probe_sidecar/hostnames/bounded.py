"""A DNS server whose responses are bounded: the owner of a zone decides how large they are and how long they take.

dnspython takes up to 0.5 ms for a record, and reads 64 KB. Here a response is refused before it is parsed if it is
larger than any that counts, and one that is not small is parsed beside the event loop, one at a time.
"""

import asyncio
import struct
from time import monotonic
from typing import Any, Final

import dns.exception
import dns.message
import dns.nameserver
import dns.query

MOST_BYTES: Final = 8_192
MOST_RECORDS: Final = 512
"""In all sections. Of one name 64 addresses count."""

SMALL: Final = 512
"""Bytes of a response that is parsed at once: the size of one without EDNS."""

_HEADER: Final = struct.Struct("!HHHHHH")
_ONE_AT_A_TIME = asyncio.Semaphore(1)


class ResponseTooLarge(dns.exception.FormError):
    """A response that is not parsed."""


class BoundedServer(dns.nameserver.Do53Nameserver):
    """For one lookup. `seconds` is how long its responses took to parse."""

    seconds = 0.0

    async def async_query(  # noqa: PLR0917 - dnspython's
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109 - dnspython's
        source: str | None,
        source_port: int,
        max_size: bool,
        backend: Any,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        """A response to `request`, by UDP or, with `max_size`, by TCP. Raises DNSException and OSError."""
        del source, source_port, backend, one_rr_per_rrset, ignore_trailing
        try:
            async with asyncio.timeout(timeout):
                wire = await (self._tcp(request) if max_size else self._udp(request))
        except TimeoutError as error:
            raise dns.exception.Timeout(timeout=timeout) from error  # type: ignore[no-untyped-call]
        response = await self._parsed(wire)
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response

    async def _udp(self, request: dns.message.Message) -> bytes:
        loop = asyncio.get_running_loop()
        received: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(request.id, received), remote_addr=(self.address, self.port)
        )
        try:
            transport.sendto(request.to_wire())
            return await received
        finally:
            transport.close()

    async def _tcp(self, request: dns.message.Message) -> bytes:
        reader, writer = await asyncio.open_connection(self.address, self.port, limit=MOST_BYTES)
        try:
            wire = request.to_wire()
            writer.write(len(wire).to_bytes(2) + wire)
            size = int.from_bytes(await reader.readexactly(2))
            if size > MOST_BYTES:
                raise ResponseTooLarge
            return await reader.readexactly(size)
        finally:
            writer.close()

    async def _parsed(self, wire: bytes) -> dns.message.Message:
        if len(wire) < _HEADER.size:
            raise dns.exception.FormError
        if len(wire) > MOST_BYTES or sum(_HEADER.unpack_from(wire)[2:]) > MOST_RECORDS:
            raise ResponseTooLarge
        began = monotonic()
        try:
            if len(wire) <= SMALL:
                return dns.message.from_wire(wire, raise_on_truncation=True)
            async with _ONE_AT_A_TIME:
                began = monotonic()
                return await asyncio.to_thread(dns.message.from_wire, wire, raise_on_truncation=True)
        finally:
            self.seconds += monotonic() - began


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the first datagram with the query's number; all others are passed over."""

    def __init__(self, number: int, received: asyncio.Future[bytes]) -> None:
        self._number = number.to_bytes(2)
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A response, or something else."""
        del addr
        if data[:2] == self._number and not self._received.done():
            self._received.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """The server's port is closed, say."""
        if not self._received.done():
            self._received.set_exception(exc)

"""Questions to DNS: the only place that sends them. Every failure is a Reply, never an exception."""

import asyncio
import logging
import socket
import struct
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

from external_service.kind import FAMILIES, Family, is_ip
from probe_sidecar.hostnames.cache import NOT_ASKED, Reply

log = logging.getLogger(__name__)

MOST_BYTES: Final = 8_192
MOST_RECORDS: Final = 512
"""In all sections. Of one name 64 addresses count."""

SMALL: Final = 512
"""Bytes of a response that is parsed at once: the size of one without EDNS."""

_HEADER: Final = struct.Struct("!HHHHHH")
_ONE_AT_A_TIME = asyncio.Semaphore(1)

TRY_SECONDS = 2.0
"""For one server; then the next one is tried."""

LOOKUP_SECONDS = 5.0
"""For all of them together."""

RESOLV_CONF = Path("/etc/resolv.conf")
MAX_SERVERS = 3
"""Of resolv.conf, as in the C library (MAXNS)."""
MAX_CONF_BYTES = 65_536
DNS_PORT = 53
NO_SERVERS = "no DNS servers: write them into ESO_DNS_SERVERS, or into /etc/resolv.conf"

UNREADABLE = "the DNS server's response cannot be read"
TOO_LARGE = f"the DNS server's response has more than {MOST_RECORDS} records or {MOST_BYTES} bytes"

MAX_CNAMES = 16
"""Of one name, in one response (as in dnspython) and over all responses."""
CNAME_LOOP = "the CNAME records lead back to a name before: change one of them"
CNAMES_TOO_LONG = f"more than {MAX_CNAMES} CNAME records follow each other: let the name lead to its target directly"

PARSE_SHARE = 100
"""Times the time that it took to read its responses: minimum TTL of a result."""

Server = tuple[str, int]


class ResponseTooLarge(dns.exception.FormError):
    """A response that is not parsed."""


class BoundedServer(dns.nameserver.Do53Nameserver):
    """A DNS server whose responses are bounded, for one lookup: the owner of a zone decides how large they are and how
    long they take. `seconds` is how long they took to parse.

    dnspython takes up to 0.5 ms for a record, and reads 64 KB. Here a response is refused before it is parsed if it is
    larger than any that counts, and one that is not small is parsed beside the event loop, one at a time.
    """

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
        """The first datagram with the query's number; all others are passed over."""
        loop, wire = asyncio.get_running_loop(), request.to_wire()
        with socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((self.address, self.port))
            await loop.sock_sendall(sock, wire)
            while True:
                response = await loop.sock_recv(sock, MOST_BYTES + 1)
                if response[:2] == wire[:2]:
                    return response
                await asyncio.sleep(0)  # what waits already is read at once, and there may be much of it

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


class Resolver:
    """`servers` are addresses and ports, tried in this order; none: those of `conf`, read now. `seconds` for a lookup.

    Names are absolute: no search list is tried, so a result does not depend on the namespace that the prober runs in.
    """

    def __init__(
        self, servers: Sequence[Server] = (), *, conf: Path = RESOLV_CONF, seconds: float = LOOKUP_SECONDS
    ) -> None:
        self._servers = list(servers or _servers_in(conf))
        self._seconds = seconds

    async def lookup(self, name: str, families: Sequence[Family] = FAMILIES) -> tuple[Reply, Reply]:
        """The IPv4 and the IPv6 addresses of `name`, looked up concurrently; no data of a family that is not wanted."""
        kinds = {"IPv4": dns.rdatatype.A, "IPv6": dns.rdatatype.AAAA}
        replies = await asyncio.gather(*(self._ask(name, kinds[family]) for family in families))
        found = dict(zip(families, replies, strict=True))
        return found.get("IPv4", NOT_ASKED), found.get("IPv6", NOT_ASKED)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> Reply:
        if not self._servers:
            return Reply("failed", problem=NO_SERVERS)
        try:
            return await self._through_cnames(dns.name.from_text(name), kind)
        except dns.resolver.NXDOMAIN:
            return Reply("nxdomain")
        except dns.exception.DNSException as error:
            return Reply("failed", problem=_problem(error, self._seconds))
        except Exception as error:  # one name must not end the others' lookups (R8)
            log.exception("the lookup of %s failed in the prober", name)
            return Reply("failed", problem=type(error).__name__)

    async def _through_cnames(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Reply:
        """Ask for `name`, then for the target of a CNAME that the response leaves without addresses."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        asked = [BoundedServer(host, port) for host, port in self._servers]
        resolver.nameservers, resolver.timeout = list(asked), TRY_SECONDS
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._seconds
        ttl, passed = float("inf"), {name}
        while True:
            answer = await resolver.resolve(
                name, kind, raise_on_no_answer=False, search=False, lifetime=max(deadline - clock(), 0.0)
            )
            ttl = min(ttl, float(answer.chaining_result.minimum_ttl))
            if answer.rrset is not None:
                addresses = tuple(str(ip_address(record.address)) for record in answer.rrset)
                return Reply("ok", addresses, max(ttl, PARSE_SHARE * sum(server.seconds for server in asked)))
            names = {rrset.name for rrset in answer.chaining_result.cnames}
            name = answer.chaining_result.canonical_name
            if not names:
                return Reply("no_data")
            if name in passed | names:
                return Reply("failed", problem=CNAME_LOOP)
            passed |= names
            if len(passed) > MAX_CNAMES:
                return Reply("failed", problem=CNAMES_TOO_LONG)


def _servers_in(conf: Path) -> list[Server]:
    """The first nameservers of resolv.conf(5). Nothing else in it counts: names are absolute, so no search list does.

    Lines that name no address are passed over, as in the C library.
    """
    try:
        with conf.open("rb") as file:
            lines = file.read(MAX_CONF_BYTES).decode("latin-1").splitlines()
    except OSError:
        return []
    words = (line.split() for line in lines)
    hosts = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver" and is_ip(line[1])]
    return [(host, DNS_PORT) for host in hosts[:MAX_SERVERS]]


def no_response(seconds: float) -> str:
    """No DNS server responded within the timeout of a lookup."""
    return f"no response from DNS within {seconds:g} s"


def responded_with(rcode: str) -> str:
    """`rcode` is the response code, such as SERVFAIL."""
    return f"the DNS server responded with {rcode}"


def _problem(error: dns.exception.DNSException, seconds: float) -> str:
    """In words without numbers that differ from one time to the next, as the library's have them."""
    if isinstance(error, dns.exception.Timeout):
        return no_response(seconds)
    return _refused(error) if isinstance(error, dns.resolver.NoNameservers) else type(error).__name__


def _refused(error: dns.resolver.NoNameservers) -> str:
    """The last server's own word, SERVFAIL or REFUSED; else that no server was reached."""
    for *_, problem, response in reversed(error.kwargs["errors"]):
        if isinstance(problem, ResponseTooLarge):
            return TOO_LARGE
        if isinstance(problem, dns.message.ChainTooLong):
            return CNAME_LOOP if _loops(response) else CNAMES_TOO_LONG
        if response is not None and response.rcode() != dns.rcode.NOERROR:
            return responded_with(dns.rcode.to_text(response.rcode()))
        if isinstance(problem, OSError):
            return f"the DNS server cannot be reached: {problem.strerror or type(problem).__name__}"
    return UNREADABLE


def _loops(response: dns.message.Message) -> bool:
    """Whether the CNAME records of a response lead back to a name before."""
    targets = {rrset.name: rrset[0].target for rrset in response.answer if rrset.rdtype == dns.rdatatype.CNAME}
    name, passed = response.question[0].name, set()
    while name in targets and name not in passed:
        passed.add(name)
        name = targets[name]
    return name in passed

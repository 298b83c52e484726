"""Questions to DNS: the only place that sends them. What comes back is a Reply, whatever happens."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver

from probe_sidecar.hostnames.answer import Reply

TRY_SECONDS = 2.0
"""For one server; then the next one is asked."""

LOOKUP_SECONDS = 5.0
"""For all of them together."""

RESOLV_CONF = Path("/etc/resolv.conf")
NO_SERVERS = "no DNS servers: write them into ESO_DNS_SERVERS, or into /etc/resolv.conf"

Server = tuple[str, int]


class Resolver:
    """`servers` are addresses and ports to ask, in this order; none: those of `conf`, read now. `seconds` for a lookup.

    Names are absolute: no search list is tried, so an answer does not depend on the namespace that the prober runs in.
    """

    def __init__(
        self, servers: Sequence[Server] = (), *, conf: Path = RESOLV_CONF, seconds: float = LOOKUP_SECONDS
    ) -> None:
        self._resolver = _configured(servers, conf)
        self._seconds = seconds

    async def lookup(self, name: str) -> tuple[Reply, Reply]:
        """The IPv4 and the IPv6 addresses of `name`, asked for side by side."""
        ipv4, ipv6 = await asyncio.gather(self._ask(name, dns.rdatatype.A), self._ask(name, dns.rdatatype.AAAA))
        return ipv4, ipv6

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> Reply:
        if self._resolver is None:
            return Reply("failed", problem=NO_SERVERS)
        try:
            absolute = dns.name.from_text(name)
            answer = await self._resolver.resolve(
                absolute, kind, raise_on_no_answer=False, search=False, lifetime=self._seconds
            )
        except dns.resolver.NXDOMAIN:
            return Reply("nxdomain")
        except dns.exception.DNSException as error:
            return Reply("failed", problem=_problem(error, self._seconds))
        if answer.rrset is None:
            return Reply("no_data")
        found = tuple(str(ip_address(record.address)) for record in answer.rrset)
        return Reply("ok", found, float(answer.chaining_result.minimum_ttl))


def _configured(servers: Sequence[Server], conf: Path) -> dns.asyncresolver.Resolver | None:
    try:
        resolver = dns.asyncresolver.Resolver(str(conf), configure=not servers)
    except dns.resolver.NoResolverConfiguration:
        return None
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
    resolver.timeout = TRY_SECONDS
    return resolver


def _problem(error: dns.exception.DNSException, seconds: float) -> str:
    """In words without numbers that differ from one time to the next, as the library's have them."""
    if isinstance(error, dns.exception.Timeout):
        return f"no answer from DNS within {seconds:g} s"
    return _refused(error) if isinstance(error, dns.resolver.NoNameservers) else type(error).__name__


def _refused(error: dns.resolver.NoNameservers) -> str:
    """The last server's own word, SERVFAIL or REFUSED; else that nobody was reached."""
    for *_, problem, response in reversed(error.kwargs["errors"]):
        if response is not None:
            return f"the DNS server answers {dns.rcode.to_text(response.rcode())}"
        if isinstance(problem, OSError):
            return f"the DNS server cannot be reached: {problem.strerror or type(problem).__name__}"
    return "the DNS server's answer cannot be read"

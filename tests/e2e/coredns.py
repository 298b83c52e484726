"""The DNS of a cluster: the real CoreDNS with the zone of an API server, queried without a cache."""

import asyncio
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from playground.processes import Component, free_ports
from tests.e2e.process import HOST, Process

ZONE = "cluster.local"
ALWAYS_THERE = f"kubernetes.default.svc.{ZONE}"
ASK_SECONDS = 2.0
READY_SECONDS = 0.2
KINDS = (dns.rdatatype.A, dns.rdatatype.AAAA)
COREFILE = """{zone}:{port} {{
  bind {host}
  errors
  kubernetes {zone} {{
    kubeconfig {kubeconfig}
    ttl 0
  }}
}}
"""


class CoreDns(Process):
    """Ready when it responds with the zone: its own page is ready before its UDP socket is open."""

    def __init__(self, binary: Path, kubeconfig: Path, directory: Path) -> None:
        (self._port,) = free_ports(1)
        corefile = directory / "Corefile"
        corefile.write_text(COREFILE.format(zone=ZONE, host=HOST, port=self._port, kubeconfig=kubeconfig))
        command = [str(binary), "-conf", str(corefile)]
        super().__init__(Component("coredns", command, log=directory / "coredns.log", ready=self._answers))

    async def resolve(self, service: str, namespace: str) -> frozenset[str]:
        """A and AAAA of a Service, as by getaddrinfo. RuntimeError for a failure of DNS."""
        name = f"{service}.{namespace}.svc.{ZONE}"
        found = await asyncio.gather(*(self._ask(name, kind) for kind in KINDS))
        return frozenset[str]().union(*found)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> frozenset[str]:
        query = dns.message.make_query(name, kind)
        answer = await dns.asyncquery.udp(query, HOST, timeout=ASK_SECONDS, port=self._port)
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise RuntimeError(f"{name}: {dns.rcode.to_text(answer.rcode())}")
        return frozenset(str(one) for records in answer.answer if records.rdtype == kind for one in records)

    def _answers(self) -> bool:
        query = dns.message.make_query(ALWAYS_THERE, dns.rdatatype.A)
        try:
            return dns.query.udp(query, HOST, timeout=READY_SECONDS, port=self._port).rcode() == dns.rcode.NOERROR
        except (dns.exception.Timeout, OSError):
            return False

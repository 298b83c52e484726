"""`python -m tests.e2e.backends SOCKET [--dns SERVER]`: the servers outside the cluster, and their control.

A connection is a pickled call of a method of `Backends`, and its result or error. One process serves any number of
addresses and ports.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import http
import inspect
import pickle
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from playground.backends import SECURE, Spot
from playground.backends import Backend as PlaygroundBackend
from playground.backends import Mode as PlaygroundMode
from playground.certificate import server_context
from playground.dns_server import DnsServer, Record
from probe_sidecar.settings import dns_server
from tests.e2e.namespace import FAR, drop, undrop

IP_FREEBIND, IPV6_FREEBIND = 15, 78  # linux/in.h, linux/in6.h: also while the address is silenced


class Mode(StrEnum):
    """`500`: failure of the application (gRPC: NOT_SERVING). `drop`: packets to the whole address are dropped."""

    HEALTHY = "healthy"
    REFUSE = "refuse"
    SLOW = "slow"
    ERROR = "500"
    STALL = "stall"
    DROP = "drop"


DNS_SERVER = "10.0.64.53:5353"
"""The DNS server, a test host, unless a test names another."""
DNS_SERVER_IPV6 = f"[{FAR[1]}]:5353"

Place = Spot
"""The address, port and protocol of a backend."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """The behaviour of a backend. `host`, if not empty, is the only accepted Host and SNI. `status` and `body` are the
    response in mode HEALTHY. `header`, if not empty, is the line without which a request gets a 401; it is repeated in
    each part of the response. `client_ca` (PEM): only clients with a certificate of it are served.
    """

    mode: Mode = Mode.HEALTHY
    status: int = 200
    host: str = ""
    body: str = "ok\n"
    header: str = ""
    client_ca: str = ""


class Backend(PlaygroundBackend):
    """The playground's backend with a `conduct`."""

    def __init__(self, place: Place) -> None:
        super().__init__(place, place.ip)
        self.conduct = Conduct(Mode.REFUSE)
        self._tls = self._context()

    async def behave(self, conduct: Conduct) -> None:
        """Changes the behaviour and breaks open connections. OSError if it cannot listen on the port."""
        before, self.conduct = self.conduct, conduct
        if conduct.client_ca != before.client_ca:
            await self._close()
            self._tls = self._context()
        await self.set(PlaygroundMode.HEALTHY if conduct.mode is Mode.DROP else PlaygroundMode(conduct.mode.value))

    def _context(self) -> ssl.SSLContext | None:
        if self.spot.protocol not in SECURE:
            return None
        context = server_context(*SECURE[self.spot.protocol])
        context.set_servername_callback(self._know)
        if self.conduct.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.conduct.client_ca)
        return context

    def _place(self) -> dict[str, Any]:
        return {"sock": _listener(self.address, self.spot.port)}

    def _know(self, _connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: object) -> int | None:
        known = self.conduct.host in ("", name)
        return None if known else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    def _response(self, head: bytes) -> bytes:
        conduct, status = self.conduct, self._status(_host(head))
        if conduct.header:
            return _http_answer(status if conduct.header.encode() in head else 401, head, conduct.header)
        return _http_answer(status, conduct.body.encode())

    def _status(self, host: str) -> int:
        """The status by virtual hosting: 404 for another name."""
        if self.conduct.mode is Mode.ERROR:
            return 500 if self.conduct.status < 400 else self.conduct.status
        return self.conduct.status if self.conduct.host in ("", host) else 404


class Backends:
    """All backends, by place."""

    def __init__(self, dns: str) -> None:
        self._dns_server = dns_server(dns)
        self._found: dict[Place, Backend] = {}
        self._silent: set[str] = set()
        self._dns = DnsServer()

    async def set(self, places: Sequence[Place], conduct: Conduct) -> None:
        """Changes the behaviour of backends, which are created if they are new."""
        for place in places:
            self._silence(place.ip, conduct.mode is Mode.DROP)
            if place not in self._found:
                self._found[place] = Backend(place)
            await self._found[place].behave(conduct)

    async def switch(self, ips: Sequence[str], change: dict[str, Any]) -> None:
        """Changes the behaviour of all backends of addresses; LookupError if there is none."""
        for ip in ips:
            there = [(place, backend) for place, backend in self._found.items() if place.ip == ip]
            if not there:
                raise LookupError(f"there is no backend at {ip}")
            for place, backend in there:
                await self.set([place], dataclasses.replace(backend.conduct, **change))

    async def know(self, records: Mapping[str, Record]) -> None:
        """Adds records to the DNS server, which is started first if it does not run."""
        if not self._dns.port:
            await self._dns.start(*self._dns_server)
        self._dns.records |= records

    async def know_nothing(self) -> None:
        """Stops the DNS server."""
        await self._dns.stop()
        self._dns = DnsServer()

    async def clear(self) -> None:
        """Refuses connections everywhere, forgets all backends, and stops the DNS server."""
        await self.set([*self._found], Conduct(Mode.REFUSE))
        self._found.clear()
        await self.know_nothing()

    def requests(self) -> Counter[str]:
        """Requests so far (for TCP connections), by address."""
        counted: Counter[str] = Counter()
        for place, backend in self._found.items():
            counted[place.ip] += backend.requests
        return counted

    def _silence(self, ip: str, silent: bool) -> None:
        if silent and ip not in self._silent:
            drop(ip)
            self._silent.add(ip)
        elif not silent and ip in self._silent:
            undrop(ip)
            self._silent.discard(ip)


def _host(head: bytes) -> str:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "host":
            return value.strip().rsplit(":", 1)[0] if not value.strip().endswith("]") else value.strip()
    return ""


def _http_answer(status: int, body: bytes, echo: str = "") -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unheard Of"
    more = f"{echo}\r\nLocation: http://elsewhere.example/{echo}\r\n" if echo else ""
    head = f"HTTP/1.1 {status} {echo or phrase}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    return head.encode() + body


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    else:
        listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    listener.bind((address, port))
    listener.listen(256)
    listener.setblocking(False)
    return listener


async def _serve(path: Path, dns: str) -> None:
    backends = Backends(dns)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name, *arguments = pickle.loads(await reader.read())
        try:
            result = getattr(backends, name)(*arguments)
            answer = await result if inspect.isawaitable(result) else result
        except (OSError, LookupError) as problem:
            answer = problem
        writer.write(pickle.dumps(answer))
        writer.write_eof()
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(listen, path) as server:
        await server.serve_forever()


def main() -> int:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.backends", description=__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--dns", default=DNS_SERVER, help="where names are asked of")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.socket, arguments.dns))
    return 0


if __name__ == "__main__":
    from tests.e2e import backends  # pickled objects are of this module, which is not __main__

    sys.exit(backends.main())

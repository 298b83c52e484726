"""A node with the real kube-proxy in a network of its own, and a client there that connects to cluster IPs."""

import asyncio
import contextlib
import itertools
import json
import shutil
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from playground.client import Kind
from playground.processes import Component, answers
from tests.e2e import namespace
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.controlplane.flags import SERVICE_RANGES
from tests.e2e.hosts import Hosts
from tests.e2e.paced import paced
from tests.e2e.process import Process
from tests.e2e.world import World
from tests.required import cannot_run

NODES = Kind("v1", "nodes", "Node", namespaced=False)
NODE = "kube-proxy"
USER = "system:kube-proxy"
"""Kubernetes binds the ClusterRole system:node-proxier to this user, and no other role."""
HEALTH_PORT, METRICS_PORT = 10256, 10249
CONNECTION_SECONDS = 3.0
"""Long enough for a repeated SYN: a busy machine may lose the first."""
SOURCE_PORTS = itertools.cycle(range(11_000, 32_000))
"""Shared by all clients, so that a port is used again after 210 s at the earliest, by two clients at a time.

A connection must not meet what an earlier one from its port left behind, even one of another test:
- A backend keeps a closed connection in TIME_WAIT for 60 s. It may answer a SYN of that port with an ACK, on which the
  client's kernel resets and sends the SYN again, at once the first time and 1 s later each further time. kube-proxy
  takes each for a new connection, so it may get to the next backend that has such a connection.
- For 120 s after a SYN that got no answer, the kernel sends a SYN from the same port to the same address, whatever
  kube-proxy's rules say by then (nf_conntrack_tcp_timeout_syn_sent).
"""
LINK, PEER = "island", "mainland"
NEAR, FAR = ("198.18.1.1", "fd00:e52::1"), ("198.18.1.2", "fd00:e52::2")  # RFC 2544 and RFC 4193, as the hosts have
NETWORKS = ("198.18.1.0/30", "fd00:e52::/64")
FORWARDING = (Path("/proc/sys/net/ipv4/ip_forward"), Path("/proc/sys/net/ipv6/conf/all/forwarding"))
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
RESPONSE_BYTES = 65_536


class Island:
    """A network for one process, with routes to the API server and the test hosts: `under` puts a process there.

    A namespace behind a veth pair, beside that of the hosts; packets to them are forwarded. The API server listens on
    our end of the pair too. `kubeconfig` is one that works there, made from the one given.
    """

    host = FAR[0]
    """The address of a process in there."""

    def __init__(self, directory: Path, hosts: Hosts, kubeconfig: Path) -> None:
        self._hosts = hosts
        given = json.loads(kubeconfig.read_text())
        server = urlsplit(given["clusters"][0]["cluster"]["server"])
        near = {"server": f"{server.scheme}://{NEAR[0]}:{server.port}", "tls-server-name": server.hostname}
        given["clusters"][0]["cluster"] |= near
        self.kubeconfig = directory / f"{kubeconfig.stem}-island.kubeconfig"
        self.kubeconfig.write_text(json.dumps(given))
        # it keeps the namespace open
        self._inhabitant = Component(
            "island",
            ["unshare", "--net", "--", "sleep", "infinity"],
            log=directory / "island.log",
            ready=self._apart,
        )

    @property
    def pid(self) -> int:
        """Of a process in there."""
        return self._inhabitant.pid

    @property
    def under(self) -> list[str]:
        """The prefix of a command that runs it in the namespace."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"]

    def __enter__(self) -> Self:
        self._inhabitant.start()
        try:
            self._connect(self._inhabitant.pid)
        except BaseException:
            self._inhabitant.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._inhabitant.kill()
        _forward(yes=False)
        namespace.remove(LINK)

    def _apart(self) -> bool:
        """`unshare` has unshared."""
        ours = Path("/proc/thread-self/ns/net").readlink()
        return Path(f"/proc/{self._inhabitant.pid}/ns/net").readlink() != ours

    def _connect(self, pid: int) -> None:
        namespace.ip("link", "add", LINK, "type", "veth", "peer", "name", PEER, "netns", str(pid))
        namespace.configure(LINK, NEAR)
        namespace.inside(pid, "link", "set", "lo", "up")
        namespace.configure(PEER, FAR, pid)
        for network in namespace.HOST_RANGES:
            namespace.inside(pid, "route", "add", network, "via", NEAR[":" in network])
        _forward(yes=True)
        for network in NETWORKS:
            gateway = namespace.NEAR[":" in network]
            namespace.inside(self._hosts.process.pid, "route", "replace", network, "via", gateway)


def _forward(*, yes: bool) -> None:
    for setting in FORWARDING:
        setting.write_text("1" if yes else "0")


class KubeProxy(Process):
    """Runs in nftables mode with its defaults, but does not change the kernel's limits for connection tracking."""

    def __init__(self, binary: Path, node: Island, directory: Path) -> None:
        options = {
            "kubeconfig": node.kubeconfig,
            "hostname-override": NODE,
            "proxy-mode": "nftables",
            "healthz-bind-address": f"{node.host}:{HEALTH_PORT}",
            "metrics-bind-address": f"{node.host}:{METRICS_PORT}",
            "conntrack-max-per-core": 0,
            "conntrack-tcp-timeout-established": "0s",
            "conntrack-tcp-timeout-close-wait": "0s",
        }
        command = [*node.under, str(binary), *(f"--{name}={value}" for name, value in options.items())]
        url = f"http://{node.host}:{HEALTH_PORT}/healthz"
        log = directory / "kube-proxy.log"
        super().__init__(Component("kube-proxy", command, log=log, ready=lambda: answers(url)))


@contextlib.asynccontextmanager
async def node(world: World, directory: Path) -> AsyncIterator[Island]:
    """A network in which kube-proxy serves the cluster IPs, and its Node. Skips the test without nft."""
    plane = _control_plane(world)
    if shutil.which("nft") is None:
        cannot_run("nft is needed for kube-proxy: apt-get install nftables")
    access = plane.write_kubeconfig(NODE, plane.client_certificate(USER))
    with Island(directory, world.hosts, access) as network:
        for services in SERVICE_RANGES:  # the kernel looks for a route before kube-proxy's rules apply
            namespace.inside(network.pid, "route", "add", services, "via", NEAR[":" in services])
        addresses = [{"type": "InternalIP", "address": address} for address in FAR]
        await world.client.create(NODES.path(), {"metadata": {"name": NODE}, "status": {"addresses": addresses}})
        proxy = KubeProxy(plane.binaries.kube_proxy, network, directory)
        try:
            await proxy.start()
            yield network
        finally:
            await proxy.stop()
            await world.client.delete(NODES.path(name=NODE))


def _control_plane(world: World) -> ControlPlane:
    if world.api.control_plane is None:
        pytest.skip("kube-proxy is run beside a control plane of our own only: unset KUBECONFIG_E2E")
    return world.api.control_plane


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection with one HTTP request, begun at `begun` (time.monotonic).

    `outcome` is the address that answered with 200; `ADDRESS: STATUS` for another status; else the name of the error.
    """

    begun: float
    outcome: str
    served: bool


@dataclass(slots=True)
class Client:
    """Connects from the network of process `pid` to a cluster IP, as `paced`. Backends answer with their address."""

    pid: int
    address: str
    port: int
    connections: list[Connection] = field(default_factory=list)

    async def run(self, count: int | None = None) -> None:
        """Makes `count` connections, or continues until cancelled."""
        await paced(self._connect, count)

    def between(self, begin: float, end: float) -> list[Connection]:
        """The connections that began in this span and have ended."""
        return [one for one in self.connections if begin <= one.begun < end]

    async def _connect(self, _turn: int) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(CONNECTION_SECONDS):
                response = await self._exchange()
        except OSError as failure:  # a TimeoutError is one
            outcome, served = type(failure).__name__, False
        else:
            outcome, served = _outcome(response.decode())
        self.connections.append(Connection(begun, outcome, served))

    async def _exchange(self) -> bytes:
        loop = asyncio.get_running_loop()
        with self._socket() as connection:
            await loop.sock_connect(connection, (self.address, self.port))
            await loop.sock_sendall(connection, REQUEST)
            received = b""
            while data := await loop.sock_recv(connection, RESPONSE_BYTES):
                received += data
        return received

    def _socket(self) -> socket.socket:
        with namespace.entered(self.pid):
            made = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        made.bind((FAR[":" in self.address], next(SOURCE_PORTS)))
        made.setblocking(False)
        return made


def _outcome(response: str) -> tuple[str, bool]:
    head, _, body = response.partition("\r\n\r\n")
    if head.startswith("HTTP/1.1 200 "):
        return body, True
    return f"{body}: {head[9:12]}" if head else "no response", False


def outcomes(connections: Sequence[Connection]) -> Counter[str]:
    """Connections by outcome."""
    return Counter(one.outcome for one in connections)

"""A replica's own network: it reaches the API server and the test hosts, until the way to the API server is cut.

A namespace behind a veth pair, beside that of the hosts; what it sends to them we forward. The API server listens on
our loopback only, so a relay stands before it on our end of the pair. Cut means silence: packets vanish.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.e2e import namespace, packets
from tests.e2e.controlplane.component import Component
from tests.e2e.hosts import Hosts

LINK, PEER = "island", "mainland"
NEAR, FAR = "198.18.1.1", "198.18.1.2"  # RFC 2544, as those of the hosts
NETWORK = "198.18.1.0/30"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


class Island:
    """`async with Island(directory, hosts, kubeconfig)`: `under` puts a process there, `with cut():` cuts it off.

    `kubeconfig` is one that works there, made from the one given. Raises Missing without iptables.
    """

    host = FAR
    """Where the pages of a process in there are."""

    def __init__(self, directory: Path, hosts: Hosts, kubeconfig: Path) -> None:
        packets.require()
        self._hosts = hosts
        self._given = json.loads(kubeconfig.read_text())
        cluster = self._given["clusters"][0]["cluster"]
        self._server = urlsplit(cluster["server"])
        self.kubeconfig = directory / f"{kubeconfig.stem}-island.kubeconfig"
        # It stands still for as long as the namespace is to be there.
        self._inhabitant = Component(
            "island",
            ["unshare", "--net", "--", "sleep", "infinity"],
            log=directory / "island.log",
            ready=self._apart,
        )
        self._relay: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()

    @property
    def under(self) -> list[str]:
        """The command that becomes one in there."""
        return ["nsenter", f"--net=/proc/{self._inhabitant.pid}/ns/net"]

    async def __aenter__(self) -> Self:
        self._inhabitant.start()
        try:
            self._connect(self._inhabitant.pid)
            self._relay = await asyncio.start_server(self._hand_on, NEAR, 0)
        except BaseException:
            self._inhabitant.stop()
            raise
        port = self._relay.sockets[0].getsockname()[1]
        cluster = self._given["clusters"][0]["cluster"]
        cluster |= {"server": f"{self._server.scheme}://{NEAR}:{port}", "tls-server-name": self._server.hostname}
        self.kubeconfig.write_text(json.dumps(self._given))
        self._port = str(port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._relay is not None:
            self._relay.close()
        for stream in self._streams:
            stream.transport.abort()
        self._inhabitant.kill()
        _forward(yes=False)
        namespace.remove(LINK)

    def cut(self) -> AbstractContextManager[Callable[[], int]]:
        """Nothing of what is sent to the API server arrives while this lasts."""
        return packets.lost(LINK, "--protocol", "tcp", "--dport", self._port)

    def _apart(self) -> bool:
        """`unshare` has unshared."""
        ours = Path("/proc/thread-self/ns/net").readlink()
        return Path(f"/proc/{self._inhabitant.pid}/ns/net").readlink() != ours

    def _connect(self, pid: int) -> None:
        namespace.ip("link", "add", LINK, "type", "veth", "peer", "name", PEER, "netns", str(pid))
        namespace.ip("link", "set", LINK, "up")
        namespace.ip("address", "add", f"{NEAR}/30", "dev", LINK)
        namespace.inside(pid, "link", "set", "lo", "up")
        namespace.inside(pid, "link", "set", PEER, "up")
        namespace.inside(pid, "address", "add", f"{FAR}/30", "dev", PEER)
        for network in namespace.HOST_RANGES:
            if ":" not in network:
                namespace.inside(pid, "route", "add", network, "via", NEAR)
        _forward(yes=True)
        namespace.inside(self._hosts.process.pid, "route", "replace", NETWORK, "via", namespace.NEAR[0])

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            beyond, answer = await asyncio.open_connection(self._server.hostname, self._server.port)
        except OSError:
            writer.transport.abort()
            return
        self._streams |= {writer, answer}
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, answer))
            both.create_task(_pump(beyond, writer))
        self._streams -= {writer, answer}


def _forward(*, yes: bool) -> None:
    FORWARDING.write_text("1" if yes else "0")


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()

"""A network for one process, with routes to the API server and the test hosts.

A namespace behind a veth pair, beside that of the hosts; packets to them are forwarded. The API server listens on our
end of the pair too.
"""

import json
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from playground.processes import Component
from tests.e2e import namespace
from tests.e2e.hosts import Hosts

LINK, PEER = "island", "mainland"
NEAR, FAR = ("198.18.1.1", "fd00:e52::1"), ("198.18.1.2", "fd00:e52::2")  # RFC 2544 and RFC 4193, as the hosts have
NETWORKS = ("198.18.1.0/30", "fd00:e52::/64")
FORWARDING = (Path("/proc/sys/net/ipv4/ip_forward"), Path("/proc/sys/net/ipv6/conf/all/forwarding"))


class Island:
    """`with Island(directory, hosts, kubeconfig)`: `under` puts a process there.

    `kubeconfig` is one that works there, made from the one given.
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

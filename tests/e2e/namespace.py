"""Network namespaces: the tests move into one without a route out, and test hosts are in another behind a veth pair.

No clean-up is needed: a namespace, its veth pair and the routes through it end with the processes in it.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.required import cannot_run

CLONE_NEWNET = 0x40000000
LINK, PEER = "test-hosts", "cluster"
NEAR, FAR = ("198.18.0.1", "fd00:e50::1"), ("198.18.0.2", "fd00:e50::2")  # RFC 2544 and RFC 4193: never routed
HOST_RANGES = ("10.0.64.0/18", "10.20.0.0/16", "10.30.0.0/16", "fd00:e51::/64", "2001:db8::/64")
"""The addresses of test hosts: those of the samples, of the playground, and others."""

_libc = ctypes.CDLL(None, use_errno=True)


class NamespacesMissing(Exception):
    """Network namespaces cannot be used here; the text says what is missing."""


@contextmanager
def sealed() -> Iterator[None]:
    """Moves the calling thread, and what it starts, into a network of its own with only a loopback interface.

    There is no other interface and no route, so no packet can leave the machine. Afterwards the thread moves back.
    """
    require()
    with _back_afterwards():
        _check(_libc.unshare(CLONE_NEWNET), "unshare")
        ip("link", "set", "lo", "up")
        yield


@contextmanager
def entered(pid: int) -> Iterator[None]:
    """Moves the calling thread into the network of process `pid`. Sockets made there stay there; do not await there."""
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        with _back_afterwards():
            _check(_libc.setns(there, CLONE_NEWNET), "setns")
            yield
    finally:
        os.close(there)


@contextmanager
def _back_afterwards() -> Iterator[None]:
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield
    finally:
        _check(_libc.setns(before, CLONE_NEWNET), "setns")
        os.close(before)


def require() -> None:
    """Raises NamespacesMissing unless this process may create network namespaces."""
    if shutil.which("ip") is None:
        raise NamespacesMissing("iproute2 is needed for network namespaces: no `ip` in PATH")
    if os.geteuid() != 0:
        raise NamespacesMissing("root is needed for network namespaces (unshare, veth)")
    if not Path("/proc/thread-self/ns/net").exists():
        raise NamespacesMissing("this kernel has no network namespaces")


def attach(pid: int) -> None:
    """Connects the namespace of process `pid` to ours: it owns HOST_RANGES whole, and nothing else is routed.

    Every address of those ranges responds, with a reset where nothing listens; `drop` drops packets to one.
    """
    ip("link", "add", LINK, "type", "veth", "peer", "name", PEER, "netns", str(pid))
    configure(LINK, NEAR)
    inside(pid, "link", "set", "lo", "up")
    configure(PEER, FAR, pid)
    for network in HOST_RANGES:
        inside(pid, "route", "add", "local", network, "dev", "lo")
        ip("route", "add", network, "via", FAR[":" in network])


def remove(link: str) -> None:
    """Removes an interface, and its peer; nothing if it is gone."""
    subprocess.run(("ip", "link", "delete", link), check=False, stderr=subprocess.DEVNULL)


def drop(address: str) -> None:
    """From inside the namespace of the hosts: drops packets to `address`, until `undrop`."""
    ip("route", "replace", "blackhole", address, "table", "local")


def undrop(address: str) -> None:
    """From inside the namespace of the hosts: accepts packets to `address` again."""
    ip("route", "delete", "blackhole", address, "table", "local")


@contextmanager
def lost(link: str) -> Iterator[None]:
    """Drops the incoming packets of an interface. The test is skipped without iptables."""
    if shutil.which("iptables") is None:
        cannot_run("iptables is needed to lose packets: apt-get install iptables")
    rule = ("INPUT", "--in-interface", link, "--jump", "DROP")
    subprocess.run(("iptables", "--wait", "--append", *rule), check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(("iptables", "--wait", "--delete", *rule), check=True, capture_output=True)


def ip(*arguments: str) -> str:
    """Output of `ip`, for the address family of an address among the arguments; raises CalledProcessError."""
    return _run(("ip", *_family(arguments), *arguments))


def inside(pid: int, *arguments: str) -> str:
    """`ip` in the network namespace of a process."""
    return _run(("nsenter", f"--target={pid}", "--net", "ip", *_family(arguments), *arguments))


def configure(link: str, addresses: tuple[str, str], pid: int | None = None) -> None:
    """Brings an interface up (of the namespace of process `pid`), with an IPv4 address in a /30 and an IPv6 one."""

    def run(*arguments: str) -> None:
        ip(*arguments) if pid is None else inside(pid, *arguments)

    run("link", "set", link, "up")
    run("address", "add", f"{addresses[0]}/30", "dev", link)
    run("address", "add", f"{addresses[1]}/64", "dev", link, "nodad")


def _family(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return ("-6",) if any(":" in argument for argument in arguments) else ()


def _run(command: tuple[str, ...]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _check(result: int, call: str) -> None:
    if result != 0:
        raise NamespacesMissing(
            f"{call}: {os.strerror(ctypes.get_errno())}: CAP_SYS_ADMIN and CAP_NET_ADMIN are needed"
        )

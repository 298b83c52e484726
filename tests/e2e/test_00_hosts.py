"""No packet of the test hosts can leave the machine, and nothing of them remains after the tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import namespace
from tests.e2e.hosts import ROOT, Hosts

SECONDS = 10.0


@pytest.fixture
def hosts(real_hosts: Hosts) -> Iterator[Hosts]:
    yield real_hosts
    real_hosts.clear()


def ask(ip: str, port: int = 80, host: str = "any", timeout: float = 1.0) -> str:
    """The status of a plain HTTP request, or the name of the error."""
    try:
        with socket.create_connection((ip, port), timeout) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return connection.makefile("rb").readline().decode().split()[1]
    except OSError as problem:
        return type(problem).__name__ if problem.errno is None else os.strerror(problem.errno)


@pytest.mark.e2e
def test_packets_cannot_leave_the_machine(hosts: Hosts) -> None:
    """Two namespaces with one veth pair between them: neither has another interface, nor a route to anything else."""
    inside = hosts.process.pid
    here = json.loads(namespace.ip("-json", "link", "show"))
    there = json.loads(namespace.inside(inside, "-json", "link", "show"))
    working = [{link["ifname"] for link in links if "UP" in link["flags"]} for links in (here, there)]
    assert working == [{"lo", namespace.LINK}, {"lo", namespace.PEER}]
    assert all(link["link_type"] in ("loopback", "ether") for link in here)
    for address in ("192.0.2.1", "8.8.8.8", "10.0.63.1", "10.0.128.1", "169.254.169.254", "2001:db8:1::1"):
        assert ask(address) == "Network is unreachable"
        with pytest.raises(subprocess.CalledProcessError, match="returned non-zero"):
            namespace.inside(inside, "route", "get", address)
    with pytest.raises(subprocess.CalledProcessError):
        namespace.ip("route", "get", "192.0.2.1")
    assert namespace.ip("route", "show", "default") == ""


@pytest.mark.e2e
def test_killed_test_process_leaves_no_namespaces(sealed_network: None, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.e2e.hosts import Hosts; from tests.e2e import namespace"
        "\nwith namespace.sealed():"
        "\n  hosts = Hosts(Path(sys.argv[1]), apart=True); hosts.start(); print(hosts.process.pid, flush=True)"
        "\n  time.sleep(1000)"
    )
    with subprocess.Popen((sys.executable, "-c", script, tmp_path), stdout=subprocess.PIPE, cwd=ROOT) as tests:
        assert tests.stdout is not None
        tests.stdout.readline()
        network = os.open(f"/proc/{tests.pid}/ns/net", os.O_RDONLY)  # keeps it open for the check below
        assert {"lo", namespace.LINK} == links(network)
        tests.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while links(network) != {"lo"}:
        assert time.monotonic() < deadline, "the veth pair outlives the tests"
        time.sleep(0.05)
    os.close(network)


def links(network: int) -> set[str]:
    """The interfaces of a network namespace, by its file descriptor."""
    command = ("nsenter", f"--net=/proc/self/fd/{network}", "ip", "-json", "link", "show")
    done = subprocess.run(command, check=True, capture_output=True, pass_fds=[network])
    return {link["ifname"] for link in json.loads(done.stdout)}

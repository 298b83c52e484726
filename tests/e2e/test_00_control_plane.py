"""The packets of the tests cannot leave the machine."""

import json
import subprocess

import pytest

from tests.e2e import namespace
from tests.e2e.hosts import Hosts

pytestmark = pytest.mark.e2e


def test_packets_cannot_leave_the_machine(real_hosts: Hosts) -> None:
    """Two namespaces with one veth pair between them: neither has another interface, nor a route to anything else."""
    inside = real_hosts.process.pid
    both = [namespace.ip("-json", "link", "show"), namespace.inside(inside, "-json", "link", "show")]
    working = [{link["ifname"] for link in json.loads(links) if "UP" in link["flags"]} for links in both]
    assert working == [{"lo", namespace.LINK}, {"lo", namespace.PEER}]
    for address in ("192.0.2.1", "8.8.8.8", "10.0.63.1", "10.0.128.1", "169.254.169.254", "2001:db8:1::1"):
        with pytest.raises(subprocess.CalledProcessError):
            namespace.ip("route", "get", address)
        with pytest.raises(subprocess.CalledProcessError):
            namespace.inside(inside, "route", "get", address)

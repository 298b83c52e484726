"""The control plane has the pinned release, its packets cannot leave the machine, and it ends with the tests."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import namespace
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.hosts import ROOT, Hosts
from tests.until import wait

pytestmark = pytest.mark.e2e


def test_binaries_have_the_release_of_go_mod(control_plane: ControlPlane) -> None:
    release = control_plane.binaries.release
    assert control_plane.admin.get("/version").json()["gitVersion"] == release
    assert control_plane.kubectl("version").splitlines()[0] == f"Client Version: {release}"
    shown = subprocess.check_output((control_plane.binaries.kube_proxy, "--version"), text=True)
    assert shown == f"Kubernetes {release}\n"


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


def test_components_end_when_the_test_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from playground.processes import Component;"
        "c = Component('sleep', ['sleep', '1000'], log=Path(sys.argv[1]), ready=lambda: True); c.start();"
        "print(c.pid, flush=True); time.sleep(1000)"
    )
    command = (sys.executable, "-c", script, tmp_path / "log")
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as tests:
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        os.kill(pid, 0)
        tests.send_signal(signal.SIGKILL)
    status = Path(f"/proc/{pid}/status")
    wait(lambda: not status.exists() or "zombie" in status.read_text(), "the component ends")

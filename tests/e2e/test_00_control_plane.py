"""The control plane has the pinned release, uses loopback only, and ends with the tests."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.controlplane.build import GoMissing, build
from tests.e2e.controlplane.cluster import ControlPlane

pytestmark = pytest.mark.e2e

SECONDS = 60.0


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {SECONDS:.0f} s"
        time.sleep(0.05)


def test_binaries_have_the_release_of_go_mod(control_plane: ControlPlane) -> None:
    version = control_plane.admin.get("/version").json()
    major, minor = control_plane.binaries.release[1:].split(".")[:2]
    assert (version["gitVersion"], version["major"], version["minor"]) == (control_plane.binaries.release, major, minor)
    assert control_plane.kubectl("version").splitlines()[0] == f"Client Version: {control_plane.binaries.release}"
    assert subprocess.check_output((control_plane.binaries.kube_proxy, "--version"), text=True) == (
        f"Kubernetes {control_plane.binaries.release}\n"
    )


def test_processes_talk_to_loopback_only(control_plane: ControlPlane) -> None:
    loopback, anywhere = "0100007F", "00000000"  # as the kernel prints them; a listener has the second as its peer
    pairs = {pair for part in control_plane.components for pair in sockets(part.pid)}
    assert pairs == {(loopback, loopback), (loopback, anywhere)}


def sockets(pid: int) -> list[tuple[str, str]]:
    """Local and remote address of each internet socket of a process, in hexadecimal."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").rstrip("]"))
    rows = [
        line.split()
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [(row[1].partition(":")[0], row[2].partition(":")[0]) for row in rows if row[9] in inodes]


def test_components_end_when_the_test_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from playground.processes import Component;"
        "c = Component('sleep', ['sleep', '1000'], log=Path(sys.argv[1]), ready=lambda: True); c.start();"
        "print(c.pid, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        (sys.executable, "-c", script, tmp_path / "log"), stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as tests:
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        os.kill(pid, 0)
        tests.send_signal(signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text())


def test_missing_go_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GoMissing, match=r"Go 1\.\S+ or newer is needed .*: no `go` in PATH"):
        build(cache=tmp_path)

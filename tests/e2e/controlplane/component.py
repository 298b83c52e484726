"""One process of a test cluster: start and wait until it is ready, end, kill, pause, go on. Always by pid.

Each runs in a session of its own, so that Ctrl-C reaches the tests alone and they tear down in order; and each dies
with the tests even if those are killed.
"""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

START_SECONDS = 120.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
TAIL_LINES = 30


class NotReady(Exception):
    """A process ended, or was not ready in time; the text names its log and holds the end of it."""


class Component:
    """A process named `name`, its output appended to `log`; `ready` is asked until it answers true."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is all it gets beside PATH and HOME: no proxy, no kubeconfig of whoever runs the tests."""
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._ready = ready
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process; LookupError if there is none."""
        if self._process is None or self._process.poll() is not None:
            raise LookupError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start and (with `wait`) return when it is ready; NotReady if that does not come to pass."""
        if self.running:
            raise RuntimeError(f"{self.name} runs already, as {self.pid}")
        self._dismiss_reaper()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self.log.parent,
                start_new_session=True,
            )
        # Its standard input closes when this process ends, however it ends: then `read` returns.
        self._reaper = subprocess.Popen(
            ("sh", "-c", f"read _; kill -KILL {self._process.pid}"), stdin=subprocess.PIPE, start_new_session=True
        )
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Return when `ready` answers true; NotReady after `seconds`, or as soon as the process ends."""
        deadline = time.monotonic() + seconds
        while not self._ready():
            if not self.running:
                raise NotReady(f"{self.name} ended by itself: {self._tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} is not ready after {seconds:.0f} s: {self._tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes longer than 20 s; nothing if it is not running."""
        if self.running:
            self.resume()
            self._end(signal.SIGTERM)
        self._dismiss_reaper()

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        self._end(signal.SIGKILL)
        self._dismiss_reaper()

    def restart(self) -> None:
        """`stop`, then `start` and wait until ready."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP, and return when all its threads stand still: connections stay open, nothing answers."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def resident_bytes(self) -> int:
        """Memory in use now (VmRSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(kibibytes) * 1024

    def _end(self, signal_number: signal.Signals) -> None:
        os.kill(self.pid, signal_number)
        assert self._process is not None
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _dismiss_reaper(self) -> None:
        """Before its pid may belong to somebody else."""
        if self._reaper is not None:
            self._reaper.kill()
            self._reaper.communicate()
            self._reaper = None

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join((f"the end of {self.log} is", *lines))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, below the range from which the kernel serves outgoing connections.

    A client that keeps dialling a dead server's port from that range ends up connected to itself, and the server cannot
    come back.
    """
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.sample(range(lowest_outgoing - 12000, lowest_outgoing), 1000)
    found: list[int] = []
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports below {lowest_outgoing} on 127.0.0.1")

"""Child processes of the playground and of the tests: start and wait until ready, stop, kill, pause; always by pid.

Each has a session of its own, so that Ctrl-C reaches the parent alone, which then stops them in order. Each is killed
when the parent ends, even by SIGKILL.
"""

import os
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

START_SECONDS = 120.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
ANSWER_SECONDS = 2.0
TAIL_LINES = 30
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no certificate: for plain HTTP, where reading a trust store would cost each client 20 ms of CPU."""


class NotReady(Exception):
    """A process ended, or was not ready in time; the text has the end of its log."""


class Component:
    """A process with its output appended to `log`; `ready` is polled until it returns true.

    `environment` is all that it gets beside PATH and HOME: no proxy and no kubeconfig of the user.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._ready = ready
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running process; LookupError if there is none."""
        if self._process is None or self._process.poll() is not None:
            raise LookupError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start and (with `wait`) return when it is ready; raises NotReady if it does not become ready."""
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
        """Return when `ready` returns true; NotReady after `seconds`, or as soon as the process ends."""
        deadline = time.monotonic() + seconds
        while not self._ready():
            if not self.running:
                raise NotReady(f"{self.name} ended by itself: {self.tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} is not ready after {seconds:.0f} s: {self.tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after 20 s; nothing if it is not running."""
        if self.running:
            self.resume()
            self._end(signal.SIGTERM)
        self._dismiss_reaper()

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)
        self._dismiss_reaper()

    def pause(self) -> None:
        """SIGSTOP, and return when all its threads are stopped: connections stay open without a response."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def tail(self) -> str:
        """The end of its log, for an error message."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join((f"the end of {self.log} is", *lines))

    def _end(self, signal_number: signal.Signals) -> None:
        os.kill(self.pid, signal_number)
        assert self._process is not None  # noqa: S101 - `pid` has raised otherwise
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _dismiss_reaper(self) -> None:
        """Ends it before the pid can belong to another process."""
        if self._reaper is not None:
            self._reaper.kill()
            self._reaper.communicate()
            self._reaper = None


def answers(url: str) -> bool:
    """Whether a GET gets a response with 2xx."""
    try:
        return httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False, verify=NO_TLS).is_success
    except httpx.TransportError:
        return False


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports of this address on which nothing listens, below the range that the kernel takes for outgoing connections.

    A client that dials the port of a stopped server in that range can connect to itself, and then the server cannot
    start again. Tests may seed `random`: two of them at the same time would then choose the same ports.
    """
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").split()[0])
    candidates = random.SystemRandom().sample(range(lowest_outgoing - 12000, lowest_outgoing), 1000)
    found: list[int] = []
    for port in candidates:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports below {lowest_outgoing} on {host}")

"""The test hosts: one process with all backends, on loopback or in a network namespace of its own."""

import pickle
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playground.addresses import claim, dial
from playground.dns_server import Record
from playground.processes import Component
from tests.e2e import namespace
from tests.e2e.api import Unsupported
from tests.e2e.backends import DNS_SERVER, Conduct, Mode, Place

ROOT = Path(__file__).resolve().parents[2]
CALL_SECONDS = 30.0


class Hosts:
    """With `apart` the addresses are real ones, in a namespace behind a veth pair; else they are mapped to loopback."""

    def __init__(self, directory: Path, *, apart: bool, dns: str = DNS_SERVER) -> None:
        self.apart = apart
        self.shift = 0
        self._mark: socket.socket | None = None
        if not apart:
            self.shift, self._mark = claim()
        self._socket = directory / "hosts.socket"
        serve = [sys.executable, "-m", "tests.e2e.backends", str(self._socket), f"--dns={dns}"]
        command = ["unshare", "--net", "--", *serve] if apart else [*serve, f"--shift={self.shift}"]
        self.process = Component(
            "hosts",
            command,
            log=directory / "hosts.log",
            ready=self._socket.exists,
            environment={"PYTHONPATH": str(ROOT)},
        )

    def dial(self, ip: str) -> str:
        """The address that a client connects to."""
        return ip if self.apart else dial(ip, self.shift)

    def start(self) -> None:
        """Returns when the process is ready."""
        self.process.start()
        if self.apart:
            try:
                namespace.attach(self.process.pid)
            except BaseException:
                self.process.stop()
                raise

    def stop(self) -> None:
        """Ends the process, and with it namespace, interfaces and routes."""
        self.process.stop()
        self._socket.unlink(missing_ok=True)
        if self._mark is not None:
            self._mark.close()
        if self.apart:
            namespace.detach()

    def set(self, places: Iterable[Place], conduct: Conduct = Conduct()) -> None:  # noqa: B008 - frozen
        """Sets the behaviour of the backends at these places; new ones are created."""
        self._check(conduct.mode)
        self._call("set", [*places], conduct)

    def switch(self, ips: str | Iterable[str], mode: Mode | None = None, **change: Any) -> None:
        """Changes mode, `status` or `host` of all backends of these addresses, at once."""
        if mode is not None:
            self._check(mode)
            change["mode"] = mode
        self._call("switch", [ips] if isinstance(ips, str) else [*ips], change)

    def requests(self) -> Mapping[str, int]:
        """Requests so far, by address."""
        found: Mapping[str, int] = self._call("requests")
        return found

    def know(self, records: Mapping[str, Record]) -> None:
        """Adds records to the DNS server, which is started first if it does not run."""
        self._call("know", records)

    def know_nothing(self) -> None:
        """Stops the DNS server."""
        self._call("know_nothing")

    def clear(self) -> None:
        """Removes all backends, and stops the DNS server."""
        self._call("clear")

    def _check(self, mode: Mode) -> None:
        if mode is Mode.DROP and not self.apart:
            raise Unsupported("packets can be dropped only where hosts have a network namespace of their own")

    def _call(self, name: str, *arguments: object) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CALL_SECONDS)
            connection.connect(str(self._socket))
            connection.sendall(pickle.dumps((name, *arguments)))
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answers:
                answer = pickle.loads(answers.read())
        if isinstance(answer, PermissionError):
            raise Unsupported("root is needed for backends on ports below 1024")
        if isinstance(answer, Exception):
            raise answer
        return answer

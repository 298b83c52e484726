"""The test hosts: one process with all backends, in a network namespace of its own."""

import pickle
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playground.dns_server import Record
from playground.processes import Component
from tests.e2e import namespace
from tests.e2e.backends import DNS_SERVER, Conduct, Mode, Place

ROOT = Path(__file__).resolve().parents[2]
CALL_SECONDS = 30.0


class Hosts:
    """Behind a veth pair. `dns` is where names are asked of."""

    def __init__(self, directory: Path, *, dns: str = DNS_SERVER) -> None:
        self._socket = directory / "hosts.socket"
        serve = [sys.executable, "-m", "tests.e2e.backends", str(self._socket), f"--dns={dns}"]
        self.process = Component(
            "hosts",
            ["unshare", "--net", "--", *serve],
            log=directory / "hosts.log",
            ready=self._socket.exists,
            environment={"PYTHONPATH": str(ROOT)},
        )

    def start(self) -> None:
        """Returns when the process is ready."""
        self.process.start()
        try:
            namespace.attach(self.process.pid)
        except BaseException:
            self.process.stop()
            raise

    def stop(self) -> None:
        """Ends the process, and with it namespace, interfaces and routes."""
        self.process.stop()
        self._socket.unlink(missing_ok=True)
        namespace.remove(namespace.LINK)  # the kernel would do so a moment later

    def set(self, places: Iterable[Place], conduct: Conduct = Conduct()) -> None:  # noqa: B008 - frozen
        """Sets the behaviour of the backends at these places; new ones are created."""
        self._call("set", [*places], conduct)

    def switch(self, ips: str | Iterable[str], mode: Mode | None = None, **change: Any) -> None:
        """Changes mode, `status` or `host` of all backends of these addresses, at once."""
        if mode is not None:
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

    def _call(self, name: str, *arguments: object) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CALL_SECONDS)
            connection.connect(str(self._socket))
            connection.sendall(pickle.dumps((name, *arguments)))
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answers:
                answer = pickle.loads(answers.read())
        if isinstance(answer, Exception):
            raise answer
        return answer

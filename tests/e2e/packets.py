"""Drops packets by a rule, all or a random share of them, while a block lasts."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.e2e.api import Missing


def require() -> None:
    """Raises Missing where packets cannot be dropped by a rule."""
    if shutil.which("iptables") is None:
        raise Missing("iptables is needed to lose packets: apt-get install iptables")


@contextmanager
def lost(link: str, *match: str, part: float = 1.0, pid: int | None = None) -> Iterator[Callable[[], int]]:
    """Drops incoming packets of an interface (in the namespace of process `pid`) that match, or a random share of them.

    `match` are arguments of iptables. Yields a function that returns the number of dropped packets.
    """
    require()
    rule = ["INPUT", "--in-interface", link, *match]
    if part < 1.0:
        rule += ["--match", "statistic", "--mode", "random", "--probability", str(part)]
    rule += ["--jump", "DROP"]
    _iptables(pid, "--append", *rule)
    try:
        yield lambda: _dropped(pid, link)
    finally:
        _iptables(pid, "--delete", *rule)


def _dropped(pid: int | None, link: str) -> int:
    lines = _iptables(pid, "--list", "INPUT", "--numeric", "--verbose", "--exact").splitlines()[2:]
    return sum(int(fields[0]) for fields in map(str.split, lines) if fields[2] == "DROP" and link in fields)


def _iptables(pid: int | None, *arguments: str) -> str:
    where = () if pid is None else ("nsenter", f"--target={pid}", "--net")
    command = (*where, "iptables", "--wait", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

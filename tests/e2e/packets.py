"""Drops packets by a rule while a block lasts."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.api import Missing


@contextmanager
def lost(link: str) -> Iterator[None]:
    """Drops the incoming packets of an interface. Raises Missing where that cannot be done."""
    if shutil.which("iptables") is None:
        raise Missing("iptables is needed to lose packets: apt-get install iptables")
    rule = ("INPUT", "--in-interface", link, "--jump", "DROP")
    subprocess.run(("iptables", "--wait", "--append", *rule), check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(("iptables", "--wait", "--delete", *rule), check=True, capture_output=True)

"""Drops packets by a rule while a block lasts."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.required import cannot_run


@contextmanager
def lost(link: str) -> Iterator[None]:
    """Drops the incoming packets of an interface. The test is skipped without iptables."""
    if shutil.which("iptables") is None:
        cannot_run("iptables is needed to lose packets: apt-get install iptables")
    rule = ("INPUT", "--in-interface", link, "--jump", "DROP")
    subprocess.run(("iptables", "--wait", "--append", *rule), check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(("iptables", "--wait", "--delete", *rule), check=True, capture_output=True)

"""The hook with a log that is not read works on, counts the dropped lines, and ends in time; the sidecar logs alike."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from playground.processes import free_ports
from tests.parents import raw_parent
from tests.until import wait

pytestmark = pytest.mark.nightly

ENDS_WITHIN = 10.0
LOST = re.compile(r"^eso_log_lines_dropped_total (.*)$", re.MULTILINE)
GOOD = {"parent": raw_parent(ips=["10.0.0.1"])}
BAD = {"parent": raw_parent(hosts=[{"host": f"-{number}"} for number in range(30)])}
"""It is logged in a line of 2 KiB."""


@contextmanager
def full_pipe() -> Iterator[int]:
    """A pipe without room for a byte, that is not read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4_096)
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def hook() -> Iterator[tuple[str, str]]:
    """The URLs of the hook and of its pages; it must end in time when asked to."""
    port, pages = free_ports(2)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ESO_")}
    settings = {"ESO_METRICS_LISTEN_HOST": "127.0.0.1", "ESO_METRICS_LISTEN_PORT": str(pages)}
    command = [sys.executable, "-m", "app", "--host", "127.0.0.1", "--port", str(port)]
    with full_pipe() as sink, subprocess.Popen(command, env=kept | settings, stdout=sink, stderr=sink) as process:
        try:
            yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{pages}"
            process.terminate()
            assert process.wait(ENDS_WITHIN) == 0
        finally:
            process.kill()


def test_hook_without_a_log_reader_responds_and_ends(hook: tuple[str, str]) -> None:
    url, pages = hook

    def healthy() -> bool:
        with suppress(httpx.TransportError):
            return client.get(f"{pages}/healthz").status_code == 200
        return False

    def dropped() -> bool:
        assert client.post(f"{url}/sync", json=BAD).status_code == 422
        (lines,) = LOST.findall(client.get(f"{pages}/metrics").text)
        return float(lines) > 0

    with httpx.Client(trust_env=False) as client:
        wait(healthy, "the hook to serve")
        wait(dropped, "dropped lines", every=0)
        assert client.post(f"{url}/sync", json=GOOD).status_code == 200

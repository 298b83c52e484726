"""Memory and time of the requests that cost the hook most: `python -m bench.requests`.

Each body is sent to a process of its own on loopback. Printed: the size of the body, the status, the seconds to the
complete response, the peak memory above that of the idle process, and what of it the process keeps.
"""

import http.client
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.hostile.client_bodies import plain, worst

MIB = 1024 * 1024


def memory(pid: int, name: str) -> int:
    """VmHWM (the most ever) or VmRSS of a process, in bytes."""
    (kilobytes,) = re.findall(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    return int(kilobytes) * 1024


def measured(body: bytes) -> tuple[int, float, int, int]:
    """Status, seconds, peak and rest above idle in bytes, of one request to a fresh process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ESO_")}
    command = [sys.executable, "-m", "app", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, env=kept, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert found is not None
            port = int(found[1])
            _post(port, plain())
            idle = memory(process.pid, "VmRSS")
            started = time.monotonic()
            status = _post(port, body)
            seconds = time.monotonic() - started
            return status, seconds, memory(process.pid, "VmHWM") - idle, memory(process.pid, "VmRSS") - idle
        finally:
            process.kill()


def _post(port: int, body: bytes) -> int:
    """The status; 0 without a response after 60 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/sync", body)
        response = connection.getresponse()
        response.read()
    except TimeoutError:
        return 0
    finally:
        connection.close()
    return response.status


def main() -> None:
    """Print a table, the most memory first."""
    bodies = ((name, made()) for name, made in worst().items())
    rows = [(name, len(body), *measured(body)) for name, body in bodies]
    print(f"{'request':46} {'MB':>5} {'status':>6} {'seconds':>7} {'peak MiB':>8} {'kept MiB':>8}")
    for name, size, status, seconds, peak, rest in sorted(rows, key=lambda row: -row[4]):
        print(f"{name:46} {size / 1e6:5.1f} {status:6} {seconds:7.2f} {peak / MIB:8.1f} {rest / MIB:8.1f}")


if __name__ == "__main__":
    main()

"""`python -m bench.heartbeat FILE --server URL`: the sidecar, with a timer that shows how long its loop was blocked.

The timer is due every 5 ms. For each that is 10 ms late or more a line is appended to FILE: when (monotonic seconds),
how late, and how much CPU time the process used meanwhile (both in seconds). Beside other work on the machine only the
CPU time is the sidecar's own.
"""

import asyncio
import sys
from pathlib import Path
from time import monotonic, process_time
from typing import TextIO

from probe_sidecar.commands import Cluster, _raise_descriptor_limit, _until_stopped
from probe_sidecar.settings import Settings
from runtime.logs import configure
from runtime.settings import load

EVERY = 0.005
WORTH_A_LINE = 0.010


async def beat(lines: TextIO) -> None:
    """Until cancelled."""
    while True:
        began, used = monotonic(), process_time()
        await asyncio.sleep(EVERY)
        now = monotonic()
        late = now - began - EVERY
        if late >= WORTH_A_LINE:
            lines.write(f"{now:.6f} {late:.6f} {process_time() - used:.6f}\n")


async def run(server: str, lines: TextIO) -> None:
    """The sidecar beside the timer."""
    beating = asyncio.create_task(beat(lines))
    await _until_stopped(Cluster(None, None, server).of_the_pod(), load(Settings))
    beating.cancel()


if __name__ == "__main__":
    settings = load(Settings)
    configure(settings.log_level, settings.log_format)
    _raise_descriptor_limit()
    with Path(sys.argv[1]).open("w", buffering=1) as lines:
        asyncio.run(run(sys.argv[3], lines))

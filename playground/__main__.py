"""`python -m playground [CR.yaml ...]`: the whole operator on this machine, without a cluster."""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
STUCK_SECONDS = 30
"""An interrupted playground that has not ended after these is killed: its terminal may block every write."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTHING_LEFT = "Interrupted: everything is stopped, and nothing is left behind"


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    """Before the event loop handles signals, nothing has been started."""
    os.write(2, f"{NOTHING_LEFT}\n".encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":  # before the imports below, which take half a second
    for stop_signal in STOP_SIGNALS:
        signal.signal(stop_signal, _end_at_once)

import asyncio  # noqa: E402 - see above
import contextlib  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Coroutine, Sequence  # noqa: E402
from typing import Any  # noqa: E402

import click  # noqa: E402

from runtime.commands import FILE, run  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed or could not start, 2 bad input, 130 interrupted."""
    return run(play, "python -m playground", sys.argv[1:] if argv is None else argv)


@click.command
@click.argument("files", type=FILE, metavar="[PATH]...", nargs=-1)
@click.option("--duration", type=float, metavar="S", help="Seconds (default: until Ctrl-C).")
@click.option(
    "--output", type=click.Choice(["live", "plain", "json"]), help="(default: live on a terminal, else plain)"
)
def play(files: tuple[str, ...], duration: float | None, output: str | None) -> int:
    """Run the whole operator on this machine, without a cluster.

    PATH is a file with ExternalServices, a folder, or "-" for the standard input (default: the complex example, and a
    quick one).
    """
    say = _progress(silent=output == "json")
    say("Starting the playground (Ctrl-C ends it)")
    from playground.show import show  # noqa: PLC0415 - after the first line: it takes a second

    terminal = sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    try:
        status = asyncio.run(_interruptible(show(files, output or ("live" if terminal else "plain"), duration, say)))
    finally:
        for number in STOP_SIGNALS:  # a second one would only add a traceback
            signal.signal(number, signal.SIG_IGN)
    if status == INTERRUPTED:
        say(NOTHING_LEFT)
    return status


def _progress(*, silent: bool) -> Callable[[str], None]:
    """Prints what is being done on stderr, with the seconds since the start."""
    began = time.monotonic()

    def say(line: str) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            if not silent:
                print(f"{time.monotonic() - began:4.1f} s  {line}", file=sys.stderr, flush=True)

    return say


async def _interruptible(work: Coroutine[Any, Any, int]) -> int:
    """The first SIGINT, SIGTERM or SIGHUP cancels the work, which stops all that it started; others are ignored."""
    task = asyncio.ensure_future(work)
    loop, interrupted = asyncio.get_running_loop(), False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            signal.alarm(STUCK_SECONDS)
            loop.call_soon_threadsafe(task.cancel)

    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)  # not by the loop, which a terminal that does not read may block
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    sys.exit(main())

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

import argparse  # noqa: E402 - see above
import asyncio  # noqa: E402
import time  # noqa: E402
from collections.abc import Coroutine, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed or could not start, 2 bad input, 130 interrupted."""
    arguments = _arguments(argv)
    say = _Progress(silent=arguments.output == "json")
    say("Starting the playground (Ctrl-C ends it)")
    status = _play(arguments, say)
    for number in STOP_SIGNALS:  # a second one would only add a traceback
        signal.signal(number, signal.SIG_IGN)
    if status == INTERRUPTED:
        say(NOTHING_LEFT)
    return status


class _Progress:
    """Prints what is being done on stderr, with the seconds since the start."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._began = time.monotonic()

    def __call__(self, line: str) -> None:
        if not self._silent:
            try:
                print(f"{time.monotonic() - self._began:4.1f} s  {line}", file=sys.stderr, flush=True)
            except OSError:  # the terminal is gone
                self._silent = True


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground", description="The whole operator without a cluster.")
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="CR.yaml", help="(default: the complex example, and a quick one)"
    )
    parser.add_argument("--duration", type=float, metavar="S", help="seconds (default: until Ctrl-C)")
    parser.add_argument("--output", choices=("live", "plain", "json"), help="(default: live on a terminal, else plain)")
    return parser.parse_args(argv)


def _play(arguments: argparse.Namespace, say: _Progress) -> int:
    from playground.show import FAILURES, BadInput, run  # noqa: PLC0415 - after the first line: it takes a second

    terminal = sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    output = arguments.output or ("live" if terminal else "plain")
    try:
        return asyncio.run(_interruptible(run(arguments.files, output, arguments.duration, say)))
    except BadInput as problem:
        print(problem, file=sys.stderr)
        return 2
    except FAILURES as problem:
        print(f"python -m playground: {problem}", file=sys.stderr)
        return 1


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

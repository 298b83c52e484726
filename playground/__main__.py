"""`python -m playground [CR.yaml ...]`: the whole operator on this machine, without a cluster."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from playground.manifests import BadInput, complex_example, read_files
from playground.processes import NotReady
from playground.show import show
from playground.stack import Playground

Object = dict[str, Any]

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed or could not start, 2 bad input, 130 interrupted."""
    arguments = _arguments(argv)
    try:
        manifests = read_files(arguments.files)
        return asyncio.run(_interruptible(_run(arguments, manifests)))
    except BadInput as problem:
        print(problem, file=sys.stderr)
        return 2
    except (NotReady, OSError, RuntimeError) as problem:
        print(f"python -m playground: {problem}", file=sys.stderr)
        return 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground", description="The whole operator without a cluster.")
    parser.add_argument("files", nargs="*", type=Path, metavar="CR.yaml", help="(default: the complex example)")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds (default: until Ctrl-C)")
    parser.add_argument("--output", choices=("live", "plain", "json"), help="(default: live on a terminal, else plain)")
    return parser.parse_args(argv)


async def _interruptible(work: Coroutine[Any, Any, None]) -> int:
    """SIGINT and SIGTERM cancel the work, so that everything it started is stopped in order."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return INTERRUPTED
    return 0


async def _run(arguments: argparse.Namespace, manifests: list[Object]) -> None:
    output = arguments.output or ("live" if sys.stdout.isatty() and sys.stdin.isatty() else "plain")
    async with Playground() as playground:
        await show(playground, manifests or [complex_example()], output, arguments.duration)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m app` is `external-service hook`; `python -m app render` and `python -m app request` are the commands."""

import sys
from collections.abc import Sequence

from app.commands import hook, render, request
from runtime.commands import run_module


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: see `runtime.commands`."""
    return run_module("python -m app", hook, (render, request), argv)


if __name__ == "__main__":
    sys.exit(main())

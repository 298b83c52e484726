"""`python -m probe_sidecar` is `external-service prober`; `check` and `status` are the commands of these names."""

import sys
from collections.abc import Sequence

from probe_sidecar.commands import check, prober, status
from runtime.commands import run_module


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: see `runtime.commands`."""
    return run_module("python -m probe_sidecar", prober, (check, status), argv)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m probe_sidecar` is `external-service prober`."""

import sys

from probe_sidecar.commands import prober
from runtime.commands import run

if __name__ == "__main__":
    sys.exit(run(prober, "python -m probe_sidecar", sys.argv[1:]))

"""`python -m tests.e2e.controlplane COMMAND...`: runs a command with a control plane of its own.

The command finds its administrator's kubeconfig in KUBECONFIG and in KUBECONFIG_E2E, so that `pytest -m e2e tests/e2e`
takes it for a cluster that it is given, and kubectl works. All of it runs in a separate network without a route to
others.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.controlplane.build import BuildFailed, GoMissing, build
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.namespace import NamespacesMissing, sealed


def run(command: list[str]) -> int:
    """The command's exit status."""
    binaries = build()
    with (
        tempfile.TemporaryDirectory(prefix="control-plane-") as directory,
        sealed(),
        ControlPlane(binaries, Path(directory, "files")) as plane,
    ):
        path = os.pathsep.join((str(binaries.kubectl.parent), os.environ["PATH"]))
        given = dict.fromkeys(("KUBECONFIG", "KUBECONFIG_E2E"), str(plane.admin_kubeconfig))
        return subprocess.run(command, check=False, env={**os.environ, "PATH": path, **given}).returncode


def main() -> int:
    """2 for a usage or a machine that cannot do it."""
    if len(sys.argv) < 2:
        sys.stderr.write("usage: python -m tests.e2e.controlplane COMMAND...\n")
        return 2
    try:
        return run(sys.argv[1:])
    except (GoMissing, BuildFailed, NamespacesMissing) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())

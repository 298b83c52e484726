"""helm and promtool for the tests of the chart: `python -m tests.chart.binaries` brings what the cache lacks.

helm is built from its Go module (its version stands in helm/go.mod alone), promtool is unpacked from Debian's package
`prometheus`; nothing is installed. Both lie beside the built control plane (ESO_E2E_CACHE).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.controlplane.build import CACHE, STRIPPED, BuildFailed, GoMissing, key, tool

HERE = Path(__file__).resolve().parent
HELM = HERE / "helm"
PROMTOOL = "promtool"


class Missing(Exception):
    """The program is not on this machine and cannot be brought; the text says why."""


def helm_version() -> str:
    """The version that go.mod requires, with its v."""
    found = re.search(r"^\s*(?:require )?helm\.sh/helm/v\d+ (v\S+)", (HELM / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise Missing("tests/chart/helm/go.mod requires no helm")
    return found[1]


def _helm_flags() -> str:
    return f"{STRIPPED} -X helm.sh/helm/v4/internal/version.version={helm_version()}"


def helm_path() -> Path:
    """Path of the built one, also before the build."""
    return CACHE / f"helm-{helm_version()}-{key(HELM, _helm_flags())}" / "helm"


def helm() -> Path:
    """The built one. Raises Missing; never builds: that takes minutes, see `bring`."""
    try:
        path = helm_path()
    except GoMissing as why:
        raise Missing(str(why)) from why
    if not path.exists():
        raise Missing("helm is not built: run `python -m tests.chart.binaries` (minutes, once)")
    return path


def promtool() -> Path:
    """The machine's own, or the unpacked one. Raises Missing."""
    for found in (shutil.which(PROMTOOL), CACHE / "prometheus" / PROMTOOL):
        if found and Path(found).exists():
            return Path(found)
    raise Missing("no `promtool` in PATH: run `python -m tests.chart.binaries` on Debian, or install Prometheus")


def bring() -> None:
    """Build helm, unpack promtool. Raises GoMissing, BuildFailed or Missing."""
    tool(HELM, "helm.sh/helm/v4/cmd/helm", _helm_flags(), helm_path())
    try:
        promtool()
    except Missing:
        _unpack_promtool(CACHE / "prometheus" / PROMTOOL)


def _unpack_promtool(target: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing("promtool comes from Debian's package `prometheus`, and this is no Debian")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        got = subprocess.run(
            ["apt-get", "download", "prometheus"], check=False, cwd=place, capture_output=True, text=True
        )
        packages = list(Path(place).glob("prometheus_*.deb"))
        if got.returncode or not packages:
            raise Missing(f"apt-get download prometheus: {got.stderr.strip()} (apt-get update first?)")
        subprocess.run(["dpkg-deb", "--extract", str(packages[0]), place], check=True)
        unpacked = Path(place) / "usr" / "bin" / PROMTOOL
        unpacked.replace(target.with_suffix(f".{os.getpid()}"))
    target.with_suffix(f".{os.getpid()}").replace(target)


if __name__ == "__main__":
    try:
        bring()
        sys.stdout.write(f"{helm()} {helm_version()}\n{promtool()}\n")
    except (GoMissing, BuildFailed, Missing) as problem:
        sys.exit(str(problem))

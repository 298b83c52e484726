"""Peers and targets, built from source into .cache/bench when they are first asked for, and again when that changes."""

import compileall
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench" / "peers"
CACHE = Path(os.environ.get("ESO_BENCH_CACHE") or ROOT / ".cache" / "bench")
KUBERNETES = "k8s.io/component-base/version"


class CannotBuild(Exception):
    """The compiler is missing or has failed; the text says which and how."""


def c(name: str) -> Path:
    """The program of peers/NAME.c."""
    source = PEERS / f"{name}.c"
    made = _place(name, [source])
    return made if made.exists() else _run(["cc", "-O2", "-o", str(made), str(source), "-lm"], PEERS, made)


def go(name: str) -> Path:
    """The program of peers/NAME/, a Go module whose go.sum names what is fetched."""
    folder = PEERS / name
    made = _place(name, sorted(path for path in folder.iterdir() if path.suffix in {".go", ".mod", ".sum"}))
    version = f"-X {KUBERNETES}.gitMajor=1 -X {KUBERNETES}.gitMinor=36"
    command = [
        "go",
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-ldflags",
        version,
        "-o",
        str(made),
        ".",
    ]
    return made if made.exists() else _run(command, folder, made)


def built(name: str) -> bool:
    """Whether a Go peer is there already, so that asking for it takes no time."""
    folder = PEERS / name
    return _place(name, sorted(path for path in folder.iterdir() if path.suffix in {".go", ".mod", ".sum"})).exists()


def _place(name: str, sources: list[Path]) -> Path:
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    return CACHE / f"{name}-{digest}"


def _run(command: list[str], folder: Path, made: Path) -> Path:
    if shutil.which(command[0]) is None:
        raise CannotBuild(f"{made.name.partition('-')[0]}: there is no {command[0]} on this machine")
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(f"{made.name.partition('-')[0]}: {done.stderr.strip()[-400:]}")
    return made


def runtime() -> str:
    """A Python with the locked runtime packages alone, as in the image: development packages cost memory.

    It knows our version, but runs the modules of the working directory. All has bytecode, as in the image: a process
    that compiles takes some 4 MB more.
    """
    for part in ("app", "cli", "external_service", "probe_sidecar", "runtime"):
        compileall.compile_dir(ROOT / part, quiet=1)
    lock, project = ROOT / "requirements.lock", ROOT / "pyproject.toml"
    place = _place("runtime", [lock, project])
    python = place / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        install, wheels = [*uv, "pip", "install", "-q", "--python", str(python), "--no-deps"], str(place / "wheels")
        for command in (
            [sys.executable, "-m", "venv", "--without-pip", str(place)],
            [*uv, "pip", "sync", "-q", "--compile-bytecode", "--python", str(python), "--require-hashes", str(lock)],
            [*uv, "build", "-q", "--wheel", "--offline", "--no-build-isolation", "-o", wheels, str(ROOT)],
            [*install, "--no-index", "--find-links", wheels, "external-service-operator"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                shutil.rmtree(place, ignore_errors=True)
                raise CannotBuild(f"runtime: {done.stderr.strip()[-400:]}")
    return str(python)

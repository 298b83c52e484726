"""Build the image without an engine or a registry: `python -m tests.image.build`.

mmdebstrap makes a base of this Debian's own packages, which stands in for the official Python image; buildah builds the
Dockerfile unchanged on top of it. Downloads of the build are made before, by the same lock.
Needs root, buildah, crun and mmdebstrap. `.cache/image` holds the result: `image.json`, and `root`, the files.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "image"
TOOLS = ("buildah", "crun", "mmdebstrap")
BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
LOCKS = ("requirements.lock", "requirements-build.lock")
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
BASE, IMAGE = "localhost/python-base", "localhost/external-service-operator"
VERSION, REVISION = "9.8.7", "0123456789abcdef"


class CannotBuild(Exception):
    """Something is missing on this machine; the text says what."""


@dataclass(frozen=True, slots=True)
class Built:
    """An image: its configuration as the engine's own (`Config`), and its files, unpacked."""

    config: dict[str, Any]
    root: Path


def require() -> None:
    """Raises CannotBuild."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        raise CannotBuild(
            f"an image is built by root with {', '.join(TOOLS)} (missing: {', '.join(missing) or 'root'})"
        )


def built(cache: Path = CACHE) -> Built:
    """The last build; raises CannotBuild if there is none."""
    if not (cache / "image.json").exists():
        raise CannotBuild("no image has been built: python -m tests.image.build")
    return Built(json.loads((cache / "image.json").read_text())["Docker"]["config"], cache / "root")


def build(cache: Path = CACHE) -> Built:
    """Build all of it again; a line for each step. A step that fails raises CalledProcessError, after its own words."""
    require()
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    buildah = Buildah(cache)
    _step("base", lambda: _base(buildah, cache / "base.tar"))
    _step("wheels", lambda: _wheels(buildah, cache / "wheels"))
    _step("image", lambda: _image(buildah, cache))
    _step("unpack", lambda: _unpack(buildah, cache))
    shutil.rmtree(cache / "storage")
    return built(cache)


class Buildah:
    """The tool with a storage of its own, in chroots: neither an engine nor a registry is asked."""

    def __init__(self, cache: Path) -> None:
        storage = cache / "storage"
        options = ("--root", str(storage / "root"), "--runroot", str(storage / "run"), "--storage-driver", "vfs")
        self._command = ("buildah", *options)
        self._environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str | Path) -> str:
        return _run([*self._command, *map(str, arguments)], self._environment)


def _base(buildah: Buildah, tar: Path) -> None:
    codename = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    include = f"--include={','.join(BASE_PACKAGES)}"
    sources = (str(SOURCES),) if SOURCES.exists() else ()
    _run(["mmdebstrap", "--variant=minbase", include, codename["VERSION_CODENAME"], str(tar), *sources])
    container = buildah("from", "scratch")
    buildah("add", container, tar, "/")
    tar.unlink()
    buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    buildah("commit", "--rm", container, BASE)


def _wheels(buildah: Buildah, wheels: Path) -> None:
    """For the Python of the base, whatever ours is."""
    container = buildah("from", "--pull=never", BASE)
    version = buildah("run", container, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    buildah("rm", container)
    locks = [part for name in LOCKS for part in ("-r", str(ROOT / name))]
    only = ("--only-binary=:all:", "--python-version", version, "--require-hashes", "--no-deps")
    pip = (sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check")
    _run([*pip, *only, *locks, "-d", str(wheels)])


def _image(buildah: Buildah, cache: Path) -> None:
    """The Dockerfile unchanged; only pip is pointed to a folder, by a file that is mounted for the build."""
    (cache / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    volumes = ("--volume", f"{cache}/wheels:/wheels:ro", "--volume", f"{cache}/pip.conf:/etc/pip.conf:ro")
    named = {"PYTHON_IMAGE": BASE, "VERSION": VERSION, "REVISION": REVISION}
    arguments = [part for name, value in named.items() for part in ("--build-arg", f"{name}={value}")]
    buildah("bud", "--pull-never", "--format", "docker", "--layers=false", *volumes, *arguments, "-t", IMAGE, ROOT)


def _unpack(buildah: Buildah, cache: Path) -> None:
    container = buildah("from", "--pull=never", IMAGE)
    _run(["cp", "-a", buildah("mount", container), str(cache / "root")])
    (cache / "image.json").write_text(buildah("inspect", "--type", "image", IMAGE))
    buildah("umount", container)


def _step(name: str, work: Any) -> None:
    began = time.monotonic()
    work()
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}", file=sys.stderr)
    done.check_returncode()
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        build()
    except (CannotBuild, subprocess.CalledProcessError) as problem:
        sys.exit(f"{problem}")

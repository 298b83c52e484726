"""A container of the image under crun, as a Pod's security context would have it; and with nothing in it but Python.

User, command and environment are the image's own. Read-only root, no capability, no new privileges; of all namespaces
only the network's is the machine's, so that the test's loopback addresses can be reached.
"""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.image.build import Built

TOOL_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin")
UNIFIED = ("unshare", "--mount", "sh", "-c", 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh")
"""crun refuses to start where it finds both versions of cgroups, though it is configured to use none: show it one."""

NAMESPACES = ("pid", "ipc", "uts", "mount")
DEVICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "/proc": ("proc", ()),
    "/dev": ("tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
}


@dataclass(frozen=True, slots=True)
class Mounted:
    """A folder of this machine, read-only in the container."""

    folder: Path
    at: str


def without_tools(built: Built, folder: Path) -> Path:
    """The image's files as hard links, without a shell or any other program but Python: what distroless bases have."""
    root = folder / "root"
    shutil.copytree(
        built.root, root, symlinks=True, copy_function=os.link, ignore=shutil.ignore_patterns("dev", "proc")
    )
    for name in ("dev", "proc"):
        (root / name).mkdir()
    for tools in (root / name for name in TOOL_FOLDERS):
        for tool in [] if tools.is_symlink() else tools.iterdir():
            if not tool.name.startswith("python"):
                tool.unlink()
    return root


class Container:
    """One process of the image. `command` None: the image's own; `environment` beside the image's."""

    def __init__(
        self,
        built: Built,
        root: Path,
        folder: Path,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[Mounted] = (),
    ) -> None:
        self.name = f"eso-{uuid.uuid4().hex[:12]}"
        self.log = folder / f"{self.name}.log"
        self._bundle = folder / self.name
        self._bundle.mkdir()
        spec = _spec(built.config, root, command, environment or {}, mounts)
        (self._bundle / "config.json").write_text(json.dumps(spec))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once; `log` gets what it writes."""
        command = [*self._crun(), "run", "--bundle", str(self._bundle), self.name]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def run(self, seconds: float = 60) -> tuple[int, str]:
        """Exit status and output of a command that ends by itself."""
        self.start()
        return self.wait(seconds), self.log.read_text()

    def signal(self, name: str) -> None:
        """Such as "TERM"."""
        subprocess.run([*self._crun(), "kill", self.name, name], check=True, capture_output=True)

    def wait(self, seconds: float = 20) -> int:
        """Its exit status; subprocess.TimeoutExpired if it does not end."""
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Leave nothing behind."""
        subprocess.run([*self._crun(), "delete", "--force", self.name], check=False, capture_output=True)
        if self._process is not None:
            self._process.wait(20)

    def _crun(self) -> tuple[str, ...]:
        return (*UNIFIED, "crun", "--cgroup-manager=disabled", "--root", str(self._bundle.parent / "crun"))


def _spec(
    config: Mapping[str, Any],
    root: Path,
    command: Sequence[str] | None,
    environment: Mapping[str, str],
    mounts: Sequence[Mounted],
) -> dict[str, Any]:
    """The runtime's configuration; shape: the OCI runtime specification, config.json."""
    uid, gid = map(int, config["User"].split(":"))
    nothing: dict[str, list[str]] = {
        kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": list(command or config["Cmd"]),
            "cwd": config["WorkingDir"],
            "env": [*config["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "capabilities": nothing,
            "noNewPrivileges": True,
        },
        "mounts": [
            *(
                {"destination": at, "type": kind, "source": kind, "options": list(options)}
                for at, (kind, options) in DEVICES.items()
            ),
            *(
                {"destination": one.at, "type": "bind", "source": str(one.folder), "options": ["rbind", "ro"]}
                for one in mounts
            ),
        ],
        "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
    }

"""A reader of the documents at a terminal: their commands are typed unchanged, as an administrator."""

import asyncio
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.world import World

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180
ASSIGNMENT = re.compile(r"[A-Z]+=(\$\(.*\)|\S+)")


class Terminal:
    """In `folder`, with this checkout's `metacontroller`, the world's kubectl, and our Python as `python`."""

    def __init__(self, world: World, folder: Path) -> None:
        if world.api.kubectl is None:
            pytest.skip("no `kubectl` in PATH")
        programs = folder / "bin"
        programs.mkdir()
        (programs / "kubectl").symlink_to(world.api.kubectl)
        (folder / "metacontroller").symlink_to(ROOT / "metacontroller")
        self._folder = folder
        self._variables: list[str] = []
        self._environment = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": str(world.api.admin_kubeconfig),
            "PYTHONPATH": str(ROOT),
        }

    async def type(self, command: str) -> str:
        """Runs a command and returns its output; AssertionError if it fails. Variables that it sets are kept."""
        script = "\n".join((*self._variables, command))
        if ASSIGNMENT.fullmatch(command):
            self._variables.append(command)
        run = partial(
            subprocess.run, ["bash", "-eo", "pipefail", "-c", script], check=False, capture_output=True, text=True,
            cwd=self._folder, env=self._environment, timeout=SECONDS,
        )  # fmt: skip
        done = await asyncio.to_thread(run)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout

"""Child processes that never outlive us: started in sessions of their own, told to stop, killed if they do not."""

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 5.0
START_SECONDS = 30.0
KEPT_LINES = 200


class NotStarted(Exception):
    """A child ended, or said nothing, before it was ready; the text holds its last words."""


class Child:
    """One Python process. `lines` are the last lines it wrote; `wait_for` finds what it says when it is ready."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._fresh = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self, ready: str) -> "re.Match[str]":
        """Starts it and waits for a line that matches `ready`; NotStarted if none comes."""
        self.lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._reader = asyncio.create_task(self._read(self._process), name=f"output of {self.name}")
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._wait_for(re.compile(ready))
        except TimeoutError:
            raise NotStarted(f"{self.name} did not start within {START_SECONDS:g} s: {self._last_words()}") from None

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough."""
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is None or self._reader is None:
            return
        if self.running:
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def _wait_for(self, ready: "re.Pattern[str]") -> "re.Match[str]":
        while True:
            for line in self.lines:
                if found := ready.search(line):
                    return found
            if self._reader is None or self._reader.done():
                raise NotStarted(f"{self.name} ended at once: {self._last_words()}")
            self._fresh.clear()
            await self._fresh.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            self._fresh.set()
        self._fresh.set()

    def _last_words(self) -> str:
        return " | ".join(list(self.lines)[-5:]) or "it said nothing"


def _die_with_parent() -> None:
    """Linux: the kernel ends the child when we end, however that comes about."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

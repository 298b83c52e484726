"""The live picture in a real terminal (a pty): what it shows, and that keys reach the backends."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios

import pytest

from tests.until import until

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def open_terminal(columns: int, rows: int) -> tuple[int, int]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.set_blocking(ours, False)
    return ours, theirs


class Screen:
    """All that a terminal was sent, without its control sequences."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.text = ""

    def shows(self, words: str) -> bool:
        with contextlib.suppress(OSError):
            while chunk := os.read(self._descriptor, 65536):
                self.text += ESCAPES.sub("", chunk.decode(errors="replace"))
        return words in self.text

    def press(self, key: str) -> None:
        os.write(self._descriptor, key.encode())


@pytest.mark.parametrize(
    ("end", "status"),
    [pytest.param("q", 0, id="q", marks=pytest.mark.nightly), pytest.param("\x03", 130, id="Ctrl-C")],
)
async def test_terminal_is_restored_after_the_application(end: str, status: int) -> None:
    ours, theirs = open_terminal(120, 50)
    screen = Screen(ours)
    before = termios.tcgetattr(theirs)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "playground",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}} | {"TERM": "xterm"},
    )
    try:
        for words in ("The page, with buttons", "10.0.100.10", "not ready", "API writes so far: sidecar"):
            await until(lambda words=words: screen.shows(words), words, seconds=60)  # type: ignore[misc] # it is a str
        screen.press("k")
        await until(lambda: screen.shows("you made the backend of 10.0.100.10 refuse"), "the key acts", seconds=10)
        screen.press(end)
        async with asyncio.timeout(20):
            assert await process.wait() == status
        assert termios.tcgetattr(theirs) == before
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(ours)
        os.close(theirs)

"""Single keys from a terminal, without waiting for Enter; the terminal is given back as it was."""

import asyncio
import os
import re
import sys
import termios
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

ARROWS = {"\x1b[A": "up", "\x1b[B": "down"}
TOKENS = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|.", re.DOTALL)


def tokens(text: str) -> list[str]:
    """The keys in what a terminal sent: characters, "up" and "down"; other keys of several characters are dropped."""
    found = [ARROWS.get(token, token) for token in TOKENS.findall(text)]
    return [key for key in found if not key.startswith("\x1b")]


@asynccontextmanager
async def keys() -> AsyncIterator["asyncio.Queue[str]"]:
    """A queue of keys: characters, "up" and "down". Ctrl-C still interrupts."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        text = os.read(terminal, 64).decode(errors="ignore")
        for key in tokens(text):
            queue.put_nowait(key)

    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield queue
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)

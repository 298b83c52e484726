"""The command as a process, also in a real terminal (a pty): its output and exit status, and nothing is left of it."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from external_service.v1alpha1 import ONE_OF_PORTS
from tests.cases import cases
from tests.until import until

SECONDS = 60
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PIPES = {"stdin": asyncio.subprocess.DEVNULL, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}


@asynccontextmanager
async def playing(*arguments: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "playground", *arguments)
    process = await asyncio.create_subprocess_exec(*command, **(options or PIPES))
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> tuple[str, str]:
    async with asyncio.timeout(SECONDS):
        output, problems = await process.communicate()
    return output.decode(), problems.decode()


async def line_with(words: str, stream: asyncio.StreamReader | None) -> str:
    """Everything up to a line with these words."""
    assert stream is not None
    text = ""
    async with asyncio.timeout(SECONDS):
        while words not in (line := (await stream.readline()).decode()):
            text += line
    return text


def children_of(pid: int) -> list[Path]:
    return [Path(f"/proc/{child}") for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def left_in(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def gone(processes: list[Path]) -> None:
    await until(lambda: not any(map(runs, processes)), "the children gone")


def runs(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_json_output_is_one_object() -> None:
    async with playing("--duration", "2", "--output", "json") as process:
        output, problems = await said(process)
    assert (process.returncode, problems) == (0, "")
    told = json.loads(output)
    names = ["external-service/complex-example", "external-service/demo"]
    assert [parent["name"] for parent in told["parents"]] == names
    ips = ["10.0.100.10", "10.0.100.11", "10.0.200.10", "10.0.200.11", "10.0.200.12"]
    assert [row["ip"] for row in told["addresses"]] == ips
    assert all(datetime.fromisoformat(event["time"]).tzinfo is not None for event in told["events"])
    assert isinstance(told["addresses"][2]["last_probe"]["durationSeconds"], float)
    assert all(row["connects_to"].startswith("127.") for row in told["addresses"])
    assert set(told["writes"]) == {"sidecar", "metacontroller"}


@cases("number", ("Ctrl-C", signal.SIGINT), ("terminal closed", signal.SIGHUP), ("killed", signal.SIGKILL))
async def test_signal_leaves_no_processes(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with playing("--output", "plain") as process:
        assert str(tmp_path) in (await line_with("created", process.stdout)).partition("KUBECONFIG=")[2]
        children = children_of(process.pid)
        assert len(children) == 4, "hook and sidecar, and for each the process that kills it if this one is killed"
        assert len(left_in(tmp_path)) == 1
        process.send_signal(number)
        _, problems = await said(process)
        await gone(children)
    if number != signal.SIGKILL:  # then it cannot remove its folder
        assert_ends_cleanly(process, problems)
        assert left_in(tmp_path) == []


def assert_ends_cleanly(process: asyncio.subprocess.Process, problems: str) -> None:
    assert process.returncode == 130
    assert "Traceback" not in problems
    assert problems.splitlines()[-1].endswith("Interrupted: everything is stopped, and nothing is left behind")


@pytest.mark.parametrize("line", ["Starting the playground", "Starting the API server"])
async def test_interrupt_while_starting_prints_one_line(line: str) -> None:
    async with playing("--output", "plain") as process:
        await line_with(line, process.stderr)
        process.send_signal(signal.SIGINT)
        _, problems = await said(process)
    assert_ends_cleanly(process, problems)


class Terminal:
    """A terminal; `text` is what it shows, without control sequences."""

    def __init__(self, columns: int, rows: int) -> None:
        self.leader, self.follower = pty.openpty()
        fcntl.ioctl(self.follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.set_blocking(self.leader, False)
        self.text = ""

    @property
    def options(self) -> dict[str, Any]:
        """Of a process with this terminal."""
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        return dict.fromkeys(("stdin", "stdout", "stderr"), self.follower) | {"env": kept | {"TERM": "xterm"}}

    async def shows(self, words: str) -> None:
        def shown() -> bool:
            with contextlib.suppress(OSError):
                self.text += ESCAPES.sub("", os.read(self.leader, 1 << 20).decode(errors="replace"))
            return words in self.text

        await until(shown, words, seconds=SECONDS)

    def press(self, key: str) -> None:
        os.write(self.leader, key.encode())


@cases(
    "end status",
    pytest.param("q", 0, id="q", marks=pytest.mark.nightly),
    ("Ctrl-C", "\x03", 130),
)
async def test_terminal_is_restored_after_the_application(end: str, status: int) -> None:
    terminal = Terminal(120, 50)
    before = termios.tcgetattr(terminal.follower)
    async with playing(**terminal.options) as process:
        for words in ("The page, with buttons", "10.0.100.10", "not ready", "API writes so far: sidecar"):
            await terminal.shows(words)
        terminal.press("k")
        await terminal.shows("you made the backend of 10.0.100.10 refuse")
        terminal.press(end)
        async with asyncio.timeout(SECONDS):
            assert await process.wait() == status
    assert termios.tcgetattr(terminal.follower) == before
    os.close(terminal.leader)
    os.close(terminal.follower)


async def test_invalid_input_is_status_2_and_names_the_field(tmp_path: Path) -> None:
    file = tmp_path / "cr.yaml"
    file.write_text("apiVersion: eso.crowdfox.com/v1alpha1\nkind: ExternalService\nmetadata: {name: a}\nspec: {}\n")
    async with playing(str(file)) as process:
        _, problems = await said(process)
    assert process.returncode == 2
    assert problems.splitlines()[-1].startswith(f"python -m playground: {file}: spec.port: {ONE_OF_PORTS}")

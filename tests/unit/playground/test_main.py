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

import httpx
import pytest
import yaml

from external_service.v1alpha1 import ONE_OF_PORTS
from tests.cases import cases
from tests.until import until

SECONDS = 60
UNREAD_SECONDS = 20
"""In these the terminal's buffer fills."""


ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@asynccontextmanager
async def playing(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "playground",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
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


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def there(path: str) -> bool:
    return Path(path).exists()


def server_of(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_json_output_is_one_object() -> None:
    async with playing("--duration", "2", "--output", "json") as process:
        output, problems = await said(process)
    assert (process.returncode, problems) == (0, "")
    told = json.loads(output)
    assert [parent["name"] for parent in told["parents"]] == [
        "external-service/complex-example",
        "external-service/demo",
    ]
    assert [row["ip"] for row in told["addresses"]] == [
        "10.0.100.10",
        "10.0.100.11",
        "10.0.200.10",
        "10.0.200.11",
        "10.0.200.12",
    ]
    assert all(datetime.fromisoformat(event["time"]).tzinfo is not None for event in told["events"])
    assert isinstance(told["addresses"][2]["last_probe"]["durationSeconds"], float)
    assert all(row["connects_to"].startswith("127.") for row in told["addresses"])
    assert set(told["writes"]) == {"sidecar", "metacontroller"}


async def test_plain_output_lists_addresses_and_events() -> None:
    async with playing("--duration", "2") as process:
        output, _ = await said(process)
    assert "10.0.100.10 is played by 127." in output
    assert "export KUBECONFIG=" in output
    assert "external-service/complex-example created" in output
    assert "API writes so far: sidecar" in output


@cases(
    "signal_number",
    ("Ctrl-C", signal.SIGINT),
    ("terminal closed", signal.SIGHUP),
)
async def test_interrupt_leaves_no_processes(signal_number: signal.Signals) -> None:
    async with playing("--output", "plain") as process:
        assert process.stdout is not None
        folder = ""
        async with asyncio.timeout(SECONDS):
            while "created" not in (line := (await process.stdout.readline()).decode()):
                folder = line.partition("KUBECONFIG=")[2].strip() or folder
        children = children_of(process.pid)
        assert len(children) == 4, "hook and sidecar, and for each the process that kills it if this one is killed"
        assert there(folder)
        process.send_signal(signal_number)
        _, problems = await said(process)
    assert_ends_cleanly(problems)
    assert process.returncode == 130
    assert not there(folder)
    assert not there(folder.removesuffix("/kubeconfig"))
    assert not any(runs(child) for child in children)


def assert_ends_cleanly(problems: str) -> None:
    assert "Traceback" not in problems
    assert problems.splitlines()[-1].endswith("Interrupted: everything is stopped, and nothing is left behind")


@pytest.mark.parametrize("line", ["Starting the playground", "Starting the API server"])
async def test_interrupt_while_starting_prints_one_line(line: str) -> None:
    async with playing("--output", "plain") as process:
        assert process.stderr is not None
        async with asyncio.timeout(SECONDS):
            while line not in (await process.stderr.readline()).decode():
                pass
        process.send_signal(signal.SIGINT)
        _, problems = await said(process)
    assert process.returncode == 130
    assert_ends_cleanly(problems)


async def test_killed_playground_leaves_no_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # it cannot remove its folder
    async with playing("--output", "plain") as process:
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while b"created" not in await process.stdout.readline():
                pass
        children = children_of(process.pid)
        process.kill()
        await until(lambda: not any(runs(child) for child in children), "the children gone", seconds=10)


def open_terminal(columns: int, rows: int) -> tuple[int, int]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.set_blocking(ours, False)
    return ours, theirs


class Screen:
    """The output of a terminal without control sequences."""

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


@cases(
    "end status",
    pytest.param("q", 0, id="q", marks=pytest.mark.nightly),
    ("Ctrl-C", "\x03", 130),
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


@pytest.mark.nightly
async def test_unread_terminal_blocks_nothing() -> None:
    """As with Ctrl-S: the API is still served, and no process is left when the terminal is closed."""
    leader, follower = open_terminal(200, 50)
    os.set_blocking(leader, True)
    environment = os.environ | {"TERM": "xterm"}
    command = (sys.executable, "-m", "playground")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True
    )
    os.close(follower)
    try:
        shown = b""
        async with asyncio.timeout(SECONDS):
            while not (found := re.search(rb"KUBECONFIG=(\S*?kubeconfig)", shown)):
                shown += await asyncio.to_thread(os.read, leader, 65_536)
        kubeconfig = Path(found[1].decode())
        children = children_of(process.pid)
        await asyncio.sleep(UNREAD_SECONDS)
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            assert (await client.get(f"{server_of(kubeconfig)}/readyz")).text == "ok"
        os.close(leader)
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(SECONDS):
            assert await process.wait() == 130
        assert not kubeconfig.parent.exists()
        await until(lambda: not any(runs(child) for child in children), "the children gone", seconds=10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_invalid_input_is_status_2_and_names_the_field(tmp_path: Path) -> None:
    file = tmp_path / "cr.yaml"
    file.write_text("apiVersion: eso.crowdfox.com/v1alpha1\nkind: ExternalService\nmetadata: {name: a}\nspec: {}\n")
    async with playing(str(file)) as process:
        _, problems = await said(process)
    assert process.returncode == 2
    assert problems.splitlines()[-1].startswith(f"{file}: spec.port: {ONE_OF_PORTS}")

"""Log lines as text and as JSON."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.logs import JsonFormatter, TextFormatter, about, configure, dropped_lines

PATIENCE = 20.0

log = logging.getLogger("app.test")


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger()
    before, level, hook = root.handlers[:], root.level, sys.excepthook
    yield
    root.handlers[:] = before
    root.setLevel(level)
    sys.excepthook = hook


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)  # the other end is left to the thread that writes


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    made = log.makeRecord("app.test", logging.INFO, "f.py", 1, message, arguments, None, extra=extra or None)
    made.created = 1_767_225_600.1239
    return made


def test_json_log_line() -> None:
    line = JsonFormatter().format(record("%s is %s", "10.0.0.1", "ready", **about("shop/web", "10.0.0.1")))
    assert line == (
        '{"time": "2026-01-01T00:00:00.123Z", "level": "info", "logger": "app.test", '
        '"message": "10.0.0.1 is ready", "externalService": "shop/web", "address": "10.0.0.1"}'
    )


@pytest.mark.parametrize("message", ["two\nlines", 'a "quote"', "\x1b[2J", "\u2028", "grün"], ids=ascii)
def test_any_message_is_one_line(message: str) -> None:
    line = JsonFormatter().format(record("%s", message))
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert json.loads(line)["message"] == message
    assert TextFormatter("%(message)s").format(record("%s", message)).isprintable()


def test_exception_is_a_field() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        made = log.makeRecord("app.test", logging.ERROR, "f.py", 1, "it failed", (), sys.exc_info())
    line = json.loads(JsonFormatter().format(made))
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: broken")


def test_address_field_is_absent_without_an_address() -> None:
    assert sorted(json.loads(JsonFormatter().format(record("words", **about("shop/web"))))) == [
        "externalService", "level", "logger", "message", "time",
    ]  # fmt: skip


def read(descriptor: int, *, until: bytes) -> list[str]:
    """The lines up to one that contains `until`."""
    os.set_blocking(descriptor, False)
    got, deadline = b"", time.monotonic() + PATIENCE
    while until not in got or not got.endswith(b"\n"):
        assert time.monotonic() < deadline, got[-1000:]
        try:
            got += os.read(descriptor, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
    return got.decode().splitlines()


def test_logs_configured_as_json(pipe: tuple[int, int]) -> None:
    configure("info", "json", pipe[1])
    log.info("hello", extra=about("shop/web"))
    log.debug("not shown")
    logging.getLogger("httpx").info("nor this")
    log.info("end")
    line, _ = read(pipe[0], until=b"end")
    assert json.loads(line)["externalService"] == "shop/web"


def test_full_pipe_drops_lines_and_reports_them(pipe: tuple[int, int]) -> None:
    handler = configure("info", "text", pipe[1])
    lines = 0
    while handler.dropped < 10:
        log.info("%04d %s", lines, "x" * 1000)
        lines += 1
        assert lines < 10_000
    assert dropped_lines() == 10
    *written, report = read(pipe[0], until=b"dropped")
    log.info("again")
    (again,) = read(pipe[0], until=b"again")
    assert [line.split()[-2] for line in written] == [f"{number:04}" for number in range(lines - 10)]
    assert report.endswith(" WARNING runtime.logs: 10 log lines were dropped: stderr was not read fast enough")
    assert again.endswith(" again")


def test_closed_pipe_does_not_end_the_process() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    handler = configure("info", "text", writing)
    log.info("lost")
    handler.flush_for(PATIENCE)
    assert handler.dropped == 1
    os.close(writing)


CRASH = """
import sys
from runtime.logs import configure
configure("info", sys.argv[1])
import logging
for number in range(int(sys.argv[2])):
    logging.info("x" * 1000)
raise ValueError("broken")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_exception_is_logged_before_exit(form: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CRASH, form, "0"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 1
    assert "the process ends: ValueError" in ended.stderr
    assert ended.stderr.count("ValueError: broken") == 1


def test_exception_with_a_full_pipe_ends_the_process() -> None:
    with subprocess.Popen([sys.executable, "-c", CRASH, "text", "5000"], stderr=subprocess.PIPE) as process:
        assert process.wait(PATIENCE) == 1

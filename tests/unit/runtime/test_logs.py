"""The lines of the log, as a machine and as a person read them."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.logs import JsonFormatter, about, configure

log = logging.getLogger("app.test")


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    made = log.makeRecord("app.test", logging.INFO, "f.py", 1, message, arguments, None, extra=extra or None)
    made.created = 1_767_225_600.1239
    return made


def test_the_whole_line() -> None:
    line = JsonFormatter().format(record("%s is %s", "10.0.0.1", "ready", **about("shop/web", "10.0.0.1")))
    assert line == (
        '{"time": "2026-01-01T00:00:00.123Z", "level": "info", "logger": "app.test", '
        '"message": "10.0.0.1 is ready", "externalService": "shop/web", "address": "10.0.0.1"}'
    )


@pytest.mark.parametrize("message", ["two\nlines", 'a "quote"', "\x1b[2J", "\u2028", "grün"], ids=ascii)
def test_any_message_is_one_line_of_json(message: str) -> None:
    line = JsonFormatter().format(record("%s", message))
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert json.loads(line)["message"] == message


def test_an_exception_is_a_field() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        made = log.makeRecord("app.test", logging.ERROR, "f.py", 1, "it failed", (), sys.exc_info())
    line = json.loads(JsonFormatter().format(made))
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: broken")


def test_without_an_address_there_is_no_such_field() -> None:
    assert sorted(json.loads(JsonFormatter().format(record("words", **about("shop/web"))))) == [
        "externalService", "level", "logger", "message", "time",
    ]  # fmt: skip


def test_configured_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    log.info("hello", extra=about("shop/web"))
    log.debug("not shown")
    logging.getLogger("httpx").info("nor this")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["externalService"] == "shop/web"


def test_configured_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "text")
    log.warning("hello", extra=about("shop/web"))
    log.info("not shown")
    assert capsys.readouterr().err.endswith(" WARNING app.test: hello\n")

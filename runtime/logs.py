"""One way to log for both processes: lines on stderr, as text for people or as JSON for machines.

Only transitions and problems are logged. Never a header's value, never a body.

Logging never blocks: a thread writes the lines. Lines that a full pipe or a slow disk does not accept are dropped and
counted.
"""

import atexit
import json
import logging
import os
import signal
import sys
from collections import deque
from datetime import UTC, datetime
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Final, Literal

LogFormat = Literal["text", "json"]

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CHATTY: Final = ("httpx", "uvicorn")
"""Libraries that log what is going well."""

STDERR: Final = 2
MOST_WAITING: Final = 1024 * 1024
"""Bytes of lines that wait to be written."""
LONGEST: Final = 32 * 1024
"""Bytes of one line; a longer one is cut off."""
DROPPED_HELP: Final = "Log lines that were dropped because stderr was not read fast enough."
EXIT_SECONDS: Final = 2.0
"""Seconds that the end of the process waits for lines to be written."""

logger = logging.getLogger(__name__)


class WriterHandler(logging.Handler):
    """Hands lines to a thread that writes them to a file descriptor.

    `dropped` counts the lines for which there was no room. A line reports them as soon as all others are written.
    """

    def __init__(self, descriptor: int = STDERR) -> None:
        super().__init__()
        self.dropped = 0
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._unreported = 0
        self._changed = Condition()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals are the main thread's
        Thread(target=self._write, name="log", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line, or drop it where too many wait."""
        line = self._line(record)
        with self._changed:
            if self._size + len(line) > MOST_WAITING:
                self.dropped += 1
                self._unreported += 1
                return
            self._waiting.append(line)
            self._size += len(line)
            self._changed.notify_all()

    def flush_for(self, seconds: float) -> None:
        """Wait until all lines are written, but not longer."""
        with self._changed:
            self._changed.wait_for(lambda: not self._size, seconds)

    def _line(self, record: logging.LogRecord) -> bytes:
        return self.format(record).encode("utf-8", "backslashreplace")[:LONGEST] + b"\n"

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting.popleft()
                unreported = 0 if self._waiting else self._unreported
                self._unreported -= unreported
            try:
                rest = line + (self._line(_report(unreported)) if unreported else b"")
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:  # the other end is closed
                self.dropped += 1
            with self._changed:
                self._size -= len(line)
                self._changed.notify_all()


def _report(count: int) -> logging.LogRecord:
    text = "%d log lines were dropped: stderr was not read fast enough"
    return logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, (count,), None)


def configure(level: str, form: LogFormat, descriptor: int = STDERR) -> WriterHandler:
    """Let the process log to stderr from `level` ("debug" to "error") on, uncaught exceptions included."""
    handler = WriterHandler(descriptor)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _log_crash
    atexit.register(handler.flush_for, EXIT_SECONDS)
    return handler


def dropped_lines() -> int:
    """Number of log lines that this process dropped."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, WriterHandler))


def _log_crash(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Written directly it would wait for room in the pipe, and the process would never end."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("crash").critical("the process ends: %s", kind.__name__, exc_info=(kind, error, traceback))


def about(external_service: str, address: str | None = None) -> dict[str, str]:
    """`extra` of a log call: the ExternalService ("namespace/name") and the address of the line."""
    return {"external_service": external_service} | ({} if address is None else {"address": address})


class TextFormatter(logging.Formatter):
    """One line for people, and the lines of an exception."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """The line. Characters that would change lines or the terminal, as a peer may send them, are escaped."""
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message; externalService, address, exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; whatever the message contains, it is one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, attribute in (("externalService", "external_service"), ("address", "address")):
            if (value := getattr(record, attribute, None)) is not None:
                line[key] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

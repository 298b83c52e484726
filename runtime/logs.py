"""One way to log for both processes: lines on stderr, as text for people or as JSON for machines.

What is logged is a transition or a problem: nothing while all is well. Never a header's value, never a body.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

LogFormat = Literal["text", "json"]

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CHATTY: Final = ("httpx", "uvicorn")
"""Libraries that tell of what is going well."""


def configure(level: str, form: LogFormat) -> None:
    """Let the process log to stderr from `level` ("debug" to "error") on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def about(external_service: str, address: str | None = None) -> dict[str, str]:
    """What to give a log call as `extra`: the ExternalService ("namespace/name") and the address it speaks of."""
    return {"external_service": external_service} | ({} if address is None else {"address": address})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message; externalService, address, exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; whatever stands in the message, it is one line."""
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

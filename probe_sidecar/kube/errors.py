"""The one exception for failed requests to the API server, and the back-off after it."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

UNREACHABLE = "Unreachable"
"""No response: refused, reset, cut short, no route, a TLS error. A write may have arrived all the same."""

TIMEOUT = "Timeout"
"""The response, or the next line of a watch, did not arrive in time. A write may have arrived all the same."""

GARBAGE = "Garbage"
"""A response that no Kubernetes API server sends."""


TOO_LARGE = "TooLarge"
"""A response with more bytes than any expected one."""

REASON_LENGTH = 100
MESSAGE_LENGTH = 1_000
"""Characters of a message that are kept: it goes into logs and conditions."""


LONGEST_RETRY_AFTER = 60.0
"""Seconds that a server's Retry-After is honoured for at most: a wrong one must not stop us."""


class ApiError(Exception):
    """A request that failed. `status` is the HTTP status, 0 when there was none; `retry_after` is in seconds.

    `reason` is meta/v1 Status.reason ("Conflict", "Expired", ...), or UNREACHABLE, TIMEOUT or GARBAGE above.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(status, reason, message, retry_after)
        self.status = status
        self.reason = reason
        self.message = " ".join(message[:MESSAGE_LENGTH].split())
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.status or 'no response'} {self.reason}: {self.message}"


def from_response(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The ApiError of a response that is not a success; the body is a meta/v1 Status, or whatever a proxy wrote."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        text = body[:200].decode("utf-8", "replace").strip()
        return ApiError(status, GARBAGE, text or "empty body", _seconds(headers.get("retry-after")))
    error = from_status(document, status)
    error.retry_after = _seconds(headers.get("retry-after")) or error.retry_after
    return error


def from_status(document: Mapping[str, Any], status: int = 0) -> ApiError:
    """The ApiError of a meta/v1 Status, as an error's body or as the object of an ERROR event of a watch."""
    details = document.get("details")
    code = document.get("code")
    return ApiError(
        status or (code if isinstance(code, int) else 0),
        _text(document.get("reason"), "Unknown")[:REASON_LENGTH],
        _text(document.get("message"), "no message"),
        _seconds(details.get("retryAfterSeconds")) if isinstance(details, dict) else None,
    )


def _text(value: object, default: str) -> str:
    return value if isinstance(value, str) and value else default


def _seconds(value: object) -> float | None:
    """Whole seconds, the only form that the API server sends (Retry-After, retryAfterSeconds)."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    usable = len(text) <= 5 and text.isascii() and text.isdigit() and 0 < int(text) <= 86_400
    return min(float(text), LONGEST_RETRY_AFTER) if usable else None


class Backoff:
    """Exponential back-off with jitter: the n-th pause in a row lies in [b/2, b] seconds, where
    b = min(cap, base * 2**n); `random` gives [0, 1). A longer Retry-After is honoured up to `longest_retry_after`.
    """

    def __init__(
        self, base: float, cap: float, random: Callable[[], float], longest_retry_after: float = LONGEST_RETRY_AFTER
    ) -> None:
        self._base = base
        self._cap = cap
        self._random = random
        self._longest_retry_after = longest_retry_after
        self.attempts = 0

    def pause(self, retry_after: float | None = None) -> float:
        """The next pause in seconds."""
        longest = min(self._cap, self._base * 2.0 ** min(self.attempts, 60))
        self.attempts += 1
        return max(longest * (1 + self._random()) / 2, min(retry_after or 0.0, self._longest_retry_after))

    def reset(self) -> None:
        """All is well again: the next pause is a short one."""
        self.attempts = 0

import json
from typing import Any

from probe_sidecar.kube.errors import Backoff, from_response
from tests.cases import cases


def refusal(reason: str, message: str, **more: Any) -> bytes:
    return json.dumps({"kind": "Status", "reason": reason, "message": message, **more}).encode()


@cases(
    "status headers body expected",
    ("a Status", 409, {}, refusal("Conflict", "modified"), (409, "Conflict", "modified", None)),
    ("starting", 429, {"retry-after": "1"}, refusal("Many", "starts"), (429, "Many", "starts", 1.0)),
    ("details", 504, {}, refusal("Timeout", "m", details={"retryAfterSeconds": 2}), (504, "Timeout", "m", 2.0)),
    ("odd Retry-After", 503, {"retry-after": "soon"}, b"{}", (503, "Unknown", "no message", None)),
    ("Retry-After of a day", 503, {"retry-after": "86400"}, b"{}", (503, "Unknown", "no message", 60.0)),
    ("negative Retry-After", 503, {"retry-after": "-1"}, b"{}", (503, "Unknown", "no message", None)),
    ("html", 502, {}, b"<html>bad gateway</html>", (502, "Garbage", "<html>bad gateway</html>", None)),
    ("empty", 502, {}, b"", (502, "Garbage", "empty body", None)),
    ("JSON that is no object", 500, {}, b"[1]", (500, "Garbage", "[1]", None)),
)
def test_error_from_a_response(status: int, headers: dict[str, str], body: bytes, expected: Any) -> None:
    error = from_response(status, headers, body)
    assert (error.status, error.reason, error.message, error.retry_after) == expected


@cases(
    "random pauses",
    ("the short end is half", 0.0, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]),
    ("the long end doubles up to the cap", 1.0, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
)
def test_back_off_doubles_up_to_the_maximum(random: float, pauses: list[float]) -> None:
    backoff = Backoff(1.0, 10.0, lambda: random)
    assert [backoff.pause() for _ in pauses] == pauses
    backoff.reset()
    assert backoff.pause() == pauses[0]


def test_retry_after_is_honoured_up_to_a_maximum() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 0.0)
    assert [backoff.pause(retry_after) for retry_after in (7.0, 0.1, 86_400.0)] == [7.0, 1.0, 60.0]


def test_back_off_after_1000_failures() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 0.0)
    assert {backoff.pause() for _ in range(3_000)} == {0.5, 1.0, 2.0, 4.0, 5.0}

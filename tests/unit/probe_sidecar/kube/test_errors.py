from typing import Any

from probe_sidecar.kube.errors import Backoff, from_response
from tests.cases import cases

STATUS = b'{"kind":"Status","reason":"Conflict","message":"the object has been modified","code":409}'


@cases(
    "status headers body expected",
    ("a Status", 409, {}, STATUS, (409, "Conflict", "the object has been modified", None)),
    (
        "a starting API server",
        429,
        {"retry-after": "1"},
        b'{"reason":"TooManyRequests","message":"storage is (re)initializing"}',
        (429, "TooManyRequests", "storage is (re)initializing", 1.0),
    ),
    (
        "details say when to retry",
        504,
        {},
        b'{"reason":"Timeout","message":"Too large resource version","details":{"retryAfterSeconds":2}}',
        (504, "Timeout", "Too large resource version", 2.0),
    ),
    ("odd Retry-After", 503, {"retry-after": "soon"}, b"{}", (503, "Unknown", "no message", None)),
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

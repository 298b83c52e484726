import errno

import pytest

from probe_sidecar.probes import message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (message.timed_out(2, message.CONNECTING), "timed out after 2 s (connecting)"),
        (message.timed_out(0.5, message.READING_BODY), "timed out after 0.5 s (reading the body)"),
        (message.network(errno.ECONNREFUSED), "connection refused"),
        (message.network(errno.EPIPE), "connection reset"),
        (message.network(errno.EMFILE), "too many open files"),
        (message.http(200), "HTTP 200"),
        (message.http(200, 1), "HTTP 200 after 1 redirect"),
        (message.http(503, 2), "HTTP 503 after 2 redirects"),
        (message.fault("away for 3.2 s"), "prober fault: away for 3.2 s"),
        (message.malformed_http("chunk"), "malformed HTTP response: chunk"),
        (message.compressed("gzip"), " (the body is compressed: gzip)"),
    ],
)
def test_failure_messages(text: str, expected: str) -> None:
    assert text == expected

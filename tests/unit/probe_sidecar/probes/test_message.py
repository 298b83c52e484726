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
        (message.malformed_http2("stream"), "malformed HTTP/2 response: stream"),
        (message.timed_out(1, message.TLS_HANDSHAKE), "timed out after 1 s (TLS handshake)"),
        (message.timed_out(1, message.SENDING), "timed out after 1 s (sending the request)"),
        (message.timed_out(1, message.WAITING), "timed out after 1 s (waiting for the response)"),
        (message.CLOSED_WITHOUT_RESPONSE, "closed without a response"),
        (message.CLOSED_IN_HEADERS, "closed within the headers"),
        (message.CLOSED_IN_BODY, "closed within the body"),
        (message.NOT_HTTP, "not an HTTP response"),
        (message.NOT_HTTP2, "not an HTTP/2 response"),
        (message.NOT_GRPC, "not a gRPC response"),
        (message.MALFORMED_GRPC, "malformed gRPC response"),
        (message.NO_ALPN, "the TLS server does not offer HTTP/2"),
        (message.HEADERS_TOO_LARGE, "response headers over 64 KiB"),
        (message.FIELDS_TOO_LARGE, "response headers over 16 KiB in HTTP/2"),
        (message.TOO_MANY_HEADERS, "more than 256 response headers"),
        (message.TOO_MANY_INTERIM, "more than 5 interim responses"),
        (message.TOO_MANY_CHUNKS, "more than 1000 chunks"),
        (message.TOO_MANY_FRAMES, "too many HTTP/2 frames"),
        (message.RESPONSE_TOO_LARGE, "response over 256 KiB"),
        (message.UNREADABLE, "response cannot be read"),
        (message.NO_REDIRECT, "no redirect is accepted"),
        (message.UNREADABLE_LOCATION, "unreadable Location"),
        (message.OTHER_HOST, "redirect to another host not followed"),
        (message.OTHER_SCHEME, "redirect to an unsupported scheme"),
        (message.IMPOSSIBLE_PORT, "redirect to an impossible port"),
        (message.TOO_MANY_REDIRECTS, "stopped after 10 redirects"),
        (message.UNEXPECTED_STATUS, "not among expectedStatuses"),
        (message.handshake_failed("record too small"), "TLS handshake failed: record too small"),
        (message.tls_failed("record too small"), "TLS failed: record too small"),
        (message.certificate_refused("too old"), "certificate refused: too old"),
        (message.stream_reset("REFUSED_STREAM"), "HTTP/2 stream reset: REFUSED_STREAM"),
        (message.connection_ended(255), "HTTP/2 connection ended: 255"),
        (message.grpc_status("UNIMPLEMENTED"), "gRPC status UNIMPLEMENTED"),
        (message.DATA_FIRST, "data before headers"),
        (message.compressed("gzip"), " (the body is compressed: gzip)"),
        (message.BODY_TOO_LONG, "longer than its content-length"),
        (message.WITHOUT_TEXT, "without the text of bodyContains"),
    ],
)
def test_failure_messages(text: str, expected: str) -> None:
    assert text == expected

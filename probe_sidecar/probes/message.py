"""Every line that a probe can say about an address. They go into `.status`, so they are short, stable and free of what
the server sent: never a body, never a header's value, never a Location.

Not declared here: the health statuses of gRPC (`SERVING`), the refusals of a request that cannot be sent (request.py),
and the words of the system and of OpenSSL.
"""

import errno
import os

CONNECTED = "connected"
CONNECTING = "connecting"
TLS_HANDSHAKE = "TLS handshake"
SENDING = "sending the request"
WAITING = "waiting for the response"
READING_BODY = "reading the body"

CLOSED_WITHOUT_RESPONSE = "closed without a response"
CLOSED_IN_HEADERS = "closed within the headers"
CLOSED_IN_BODY = "closed within the body"
NOT_HTTP = "not an HTTP response"
NOT_HTTP2 = "not an HTTP/2 response"
NOT_GRPC = "not a gRPC response"
MALFORMED_GRPC = "malformed gRPC response"
NO_ALPN = "the TLS server does not offer HTTP/2"
HEADERS_TOO_LARGE = "response headers over 64 KiB"
FIELDS_TOO_LARGE = "response headers over 16 KiB in HTTP/2"
TOO_MANY_HEADERS = "more than 256 response headers"
TOO_MANY_INTERIM = "more than 5 interim responses"
TOO_MANY_CHUNKS = "more than 1000 chunks"
TOO_MANY_FRAMES = "too many HTTP/2 frames"
RESPONSE_TOO_LARGE = "response over 256 KiB"
UNREADABLE = "response cannot be read"

BODY_TOO_LONG = "longer than its content-length"
DATA_FIRST = "data before headers"
"""Parts of HTTP/2 that are malformed."""

MORE_PROBES = "raise the prober's limit of open files, ESO_CONCURRENT_PROBES, or the number of replicas"
"""Advice for a prober at its limit of concurrent probes."""

NO_REDIRECT = "no redirect is accepted"
UNREADABLE_LOCATION = "unreadable Location"
OTHER_HOST = "redirect to another host not followed"
OTHER_SCHEME = "redirect to an unsupported scheme"
IMPOSSIBLE_PORT = "redirect to an impossible port"
TOO_MANY_REDIRECTS = "stopped after 10 redirects"
UNEXPECTED_STATUS = "not among expectedStatuses"
WITHOUT_TEXT = "without the text of bodyContains"
"""These follow an HTTP status and a comma."""

_SPOKEN = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ECONNABORTED: "connection aborted",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
}


def timed_out(seconds: float, where: str) -> str:
    """The deadline passed; `where` is one of the phases above."""
    return f"timed out after {seconds:g} s ({where})"


def network(code: int) -> str:
    """An errno in words that are the same on every system for the common ones."""
    return _SPOKEN.get(code) or os.strerror(code).lower()


def fault(what: str) -> str:
    """Something that only the prober is to blame for."""
    return f"prober fault: {what}"


def handshake_failed(reason: str) -> str:
    """`reason` is OpenSSL's, such as "wrong version number", or "connection closed"."""
    return f"TLS handshake failed: {reason}"


def tls_failed(reason: str) -> str:
    """After the handshake; `reason` is OpenSSL's."""
    return f"TLS failed: {reason}"


def certificate_refused(reason: str) -> str:
    """The server's certificate is not valid; `reason` is OpenSSL's, such as "certificate has expired"."""
    return f"certificate refused: {reason}"


def stream_reset(code: int | str) -> str:
    """`code` is HTTP/2's, by its name if it has one."""
    return f"HTTP/2 stream reset: {code}"


def connection_ended(code: int | str) -> str:
    """`code` is HTTP/2's, by its name if it has one."""
    return f"HTTP/2 connection ended: {code}"


def grpc_status(code: int | str) -> str:
    """`code` is gRPC's, by its name if it has one."""
    return f"gRPC status {code}"


def compressed(coding: str) -> str:
    """Follows WITHOUT_TEXT; `coding` is one of ENCODINGS."""
    return f" (the body is compressed: {coding})"


def http(status: int, redirects: int = 0) -> str:
    """The final status, and how many redirects led to it."""
    if not redirects:
        return f"HTTP {status}"
    return f"HTTP {status} after {redirects} redirect{'s' if redirects > 1 else ''}"


def malformed_http(part: str) -> str:
    """HTTP/1 that breaks its grammar; `part` names where."""
    return f"malformed HTTP response: {part}"


def malformed_http2(part: str) -> str:
    """HTTP/2 that breaks its framing; `part` names where."""
    return f"malformed HTTP/2 response: {part}"

"""Parts of responses and outcomes of probes, as several tests expect them."""

from hpack import Encoder

from probe_sidecar.probes import frames
from probe_sidecar.probes.exchange import Hop, Outcome, Result
from probe_sidecar.probes.frames import frame
from probe_sidecar.probes.request import HttpRequest

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\nok"
SUCCESS = Outcome(Result.SUCCESS, "HTTP 200")

SETTINGS = frame(frames.SETTINGS, 0, 0)
END = frames.END_STREAM


def failure(message: str) -> Outcome:
    return Outcome(Result.FAILURE, message)


def hop(request: HttpRequest) -> Hop:
    """A hop that says which request it is for."""
    return Hop((str(request.url), request.port))


def head(*fields: tuple[str, str], end: int = 0) -> bytes:
    """A HEADERS frame of the request's stream."""
    return frame(frames.HEADERS, frames.END_HEADERS | end, 1, Encoder().encode(fields))


def body(data: bytes, end: int = 0) -> bytes:
    """A DATA frame of the request's stream."""
    return frame(frames.DATA, end, 1, data)

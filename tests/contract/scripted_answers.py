"""Scripted answers for the comparison with the kubelet (`test_scripted_answers.py`): HTTP/1, HTTP/2 over TLS, and gRPC.

Each is a list of connections, and each connection the bytes that the server writes after it has read the request; the
last serves all that follow. `golden/scripted_answers.json` has the results. Each row or loop notices a change of the
readers that no other does, or is a kind of deviation from the kubelet.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from hpack import Encoder

from probe_sidecar.probes import frames
from probe_sidecar.probes.frames import frame


class Answers(NamedTuple):
    """`kind` is http1, http2 or grpc. `stay`: the server keeps the connections open after the last byte."""

    kind: str
    connections: tuple[bytes, ...]
    stay: bool = False


END, DONE = frames.END_STREAM, frames.END_HEADERS
SETTINGS = frame(frames.SETTINGS, 0, 0)
Fields = Sequence[tuple[str | bytes, str | bytes]]


def block(fields: Fields) -> bytes:
    """A header block with the fields in the given order and case."""
    return Encoder().encode([(_bytes(name), _bytes(value)) for name, value in fields])


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def headers(*fields: tuple[str | bytes, str | bytes], end: int = 0, stream: int = 1) -> bytes:
    """A HEADERS frame."""
    return frame(frames.HEADERS, DONE | end, stream, block(fields))


def data(payload: bytes = b"", end: int = 0, stream: int = 1) -> bytes:
    """DATA."""
    return frame(frames.DATA, end, stream, payload)


def reset(code: int, stream: int = 1) -> bytes:
    """RST_STREAM."""
    return frame(frames.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int = 0) -> bytes:
    """GOAWAY."""
    return frame(frames.GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def setting(name: int, value: int) -> bytes:
    """SETTINGS with one parameter."""
    return frame(frames.SETTINGS, 0, 0, name.to_bytes(2, "big") + value.to_bytes(4, "big"))


S200 = (":status", "200")
OK = headers(S200) + data(b"ok", END)

# What surrounds a good response, the same for HTTP and gRPC: before it, or behind its head.
CONNECTION = {
    "settings-ack": frame(frames.SETTINGS, frames.ACK, 0),
    "settings-ack-with-payload": frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
    "settings-on-a-stream": frame(frames.SETTINGS, 0, 1),
    "settings-length-5": frame(frames.SETTINGS, 0, 0, bytes(5)),
    "settings-window-max": setting(4, 2**31 - 1),
    "settings-window-too-large": setting(4, 2**31),
    "ping": frame(frames.PING, 0, 0, bytes(8)),
    "ping-on-a-stream": frame(frames.PING, 0, 1, bytes(8)),
    "ping-length-7": frame(frames.PING, 0, 0, bytes(7)),
    "window-update-0-of-the-stream": frame(frames.WINDOW_UPDATE, 0, 1, bytes(4)),
    "window-update-0-of-a-foreign-stream": frame(frames.WINDOW_UPDATE, 0, 3, bytes(4)),
    "window-update-overflow": frame(frames.WINDOW_UPDATE, 0, 0, (2**31 - 1).to_bytes(4, "big")),
    "window-update-overflow-of-the-stream": frame(frames.WINDOW_UPDATE, 0, 1, (2**31 - 1).to_bytes(4, "big")),
    "priority": frame(frames.PRIORITY, 0, 1, bytes(5)),
    "priority-length-4": frame(frames.PRIORITY, 0, 1, bytes(4)),
    "priority-on-0": frame(frames.PRIORITY, 0, 0, bytes(5)),
    "unknown-frame": frame(0x42, 0xFF, 0, b"anything"),
    "push-promise": frame(frames.PUSH_PROMISE, DONE, 1, (2).to_bytes(4, "big") + block([S200])),
    "push-promise-on-0": frame(frames.PUSH_PROMISE, DONE, 0, (2).to_bytes(4, "big") + block([S200])),
    "continuation-alone": frame(frames.CONTINUATION, DONE, 1, block([S200])),
    "foreign-headers-end": headers(S200, end=END, stream=3),
    "foreign-data": data(b"x", stream=3),
    "foreign-data-even": data(b"x", stream=2),
    "foreign-reset": reset(2, stream=3),
    "headers-on-0": headers(S200, stream=0),
    "data-on-0": data(b"x", stream=0),
    "goaway-last-1-error": goaway(1, 2),
    "foreign-headers-bad": headers(("X", "a"), stream=3),
    "foreign-data-padded-too-much": frame(frames.DATA, frames.PADDED, 3, b"\x04"),
    "push-promise-short": frame(frames.PUSH_PROMISE, DONE, 1, bytes(3)),
    "push-promise-padded-too-much": frame(frames.PUSH_PROMISE, DONE | frames.PADDED, 1, b"\x09" + bytes(4)),
    "frame-too-large": (2**20).to_bytes(3, "big") + bytes((0x42, 0)) + bytes(4) + bytes(2**20),
}

STAYING = ("reset", "goaway")
"""The server ends the response to these first bytes without closing the connection."""

# First connections after which a good one follows.
FIRST_CONNECTIONS = {
    **{f"reset-{code}": SETTINGS + reset(code) for code in range(14)},
    "reset-99": SETTINGS + reset(99),
    "reset-refused-after-head": SETTINGS + headers(S200) + reset(7),
    **{f"goaway-0-{code}": SETTINGS + goaway(0, code) for code in range(14)},
    "goaway-1": SETTINGS + goaway(1),
}


# Additional fields of a head, good and bad.
FIELDS: dict[str, Fields] = {
    "capital-in-name": [("X-A", "b")],
    "space-in-name": [("x a", "b")],
    "line-feed-in-value": [("x", "a\nb")],
    "delete-in-value": [("x", "a\x7fb")],
    "not-utf-8-in-value": [("x", b"\xff\xfe")],
    "pseudo-last": [("x", "a"), (":x", "b")],
    "status-twice": [(":status", "200")],
    "status-last": [("x", "a"), (":status", "200")],
    "connection": [("connection", "close")],
    "many": [(f"x-{number}", "y") for number in range(500)],
}


def http2() -> Iterator[tuple[str, Answers]]:
    """HTTP/2 over TLS, method GET."""

    def one(*pieces: bytes, stay: bool = False) -> Answers:
        return Answers("http2", (SETTINGS + b"".join(pieces),), stay)

    yield "ok", one(OK)
    for name, extra in CONNECTION.items():
        yield f"before-{name}", one(extra, OK)
        yield f"within-{name}", one(headers(S200), extra, data(b"ok", END))
    for name, connection in FIRST_CONNECTIONS.items():
        if name != "goaway-1":  # nothing would end it but the timeout, and a busy machine repeats such a probe
            yield f"retry-{name}", Answers("http2", (connection, SETTINGS + OK), stay=name.startswith(STAYING))
        yield f"retry-{name}-closing", Answers("http2", (connection, SETTINGS + OK))
    for name, more in FIELDS.items():
        yield f"head-{name}", one(headers(S200, *more), data(b"ok", END))
        yield f"trailers-{name}", one(headers(S200), data(b"ok"), headers(*more, end=END))
        yield f"interim-{name}", one(headers((":status", "103"), *more), OK)
    yield "retry-refused-8-times", Answers("http2", (*[SETTINGS + reset(7)] * 8, SETTINGS + OK), stay=True)
    yield "retry-refused-always", Answers("http2", (SETTINGS + reset(7),), stay=True)
    others = ("2", "20", "2000", "0200", "+200", "-200", "abc", " 200", "099", "99", "600", "999", "1000", "20x")
    for text in ("", *others):
        yield f"status-{text or 'empty'}", one(headers((":status", text), end=END))
    for status in (101, 199, 200, 204, 205, 206, 226, 299, 300, 301, 302, 304, 307, 399, 400, 404, 421, 500, 503, 599):
        yield f"status-of-{status}", one(headers((":status", str(status)), end=END))
        yield f"status-of-{status}-with-body", one(headers((":status", str(status))), data(b"ok", END))
    yield "no-fields", one(headers(end=END))
    lengths = ("0", "1", "2", "3", "02", "+2", "-1", "x", "", " 2", "2 ", "9" * 18, "9" * 19, "9" * 25, "0x2", "2,2")
    for text in lengths:
        yield f"length-{text or 'empty'}", one(headers(S200, ("content-length", text)), data(b"ok", END))
        yield f"length-{text or 'empty'}-without-body", one(headers(S200, ("content-length", text), end=END))
        yield f"length-{text or 'empty'}-empty-data", one(headers(S200, ("content-length", text)), data(b"", END))
    for bodiless in ("204", "304", "404", "301"):
        fields = [(":status", bodiless), ("content-length", "5")]
        yield f"length-of-{bodiless}-without-body", one(headers(*fields, end=END))
        yield f"length-of-{bodiless}-short", one(headers(*fields), data(b"ok", END))
    yield "trailers-without-end", one(headers(S200), data(b"ok"), headers(("x", "a")), data(b"", END))
    yield "interim-many", one(headers((":status", "103")) * 20, OK)
    yield "interim-199", one(headers((":status", "199")), OK)
    yield "body-10240-then-close", one(headers(S200), data(b"x" * 10_240))
    yield "body-in-bytes", one(headers(S200), *[data(b"x")] * 200, data(b"", END))
    yield "padded", one(headers(S200), frame(frames.DATA, frames.PADDED | END, 1, b"\x03ok" + bytes(3)))
    yield "padded-too-much", one(headers(S200), frame(frames.DATA, frames.PADDED | END, 1, b"\x04" + bytes(3)))
    yield "padded-without-length", one(headers(S200), frame(frames.DATA, frames.PADDED | END, 1))
    good = block([S200])
    flags = DONE | END
    both = flags | frames.PADDED | frames.HAS_PRIORITY
    yield "head-padded-priority", one(frame(frames.HEADERS, both, 1, b"\x01" + bytes(5) + good + bytes(1)))
    parted = block([S200, ("x-name", "a-value")])
    cut = [
        frame(frames.HEADERS, END, 1, parted[:4]),
        frame(frames.CONTINUATION, 0, 1, parted[4:7]),
        frame(frames.CONTINUATION, DONE, 1, parted[7:]),
    ]
    yield "continuation", one(*cut)
    yield "continuation-interrupted", one(cut[0], frame(frames.PING, 0, 0, bytes(8)), *cut[1:])
    yield "hpack-table-update", one(frame(frames.HEADERS, flags, 1, b"\x20" + good))
    yield "hpack-table-update-too-large", one(frame(frames.HEADERS, flags, 1, b"\x3f\xe1\xff\x7f" + good))
    yield "hpack-table-update-late", one(frame(frames.HEADERS, flags, 1, good + b"\x20"))
    yield "no-settings", Answers("http2", (OK,))
    redirect = headers((":status", "302"), ("location", "/x"), end=END)
    yield "redirect", Answers("http2", (SETTINGS + redirect, SETTINGS + OK))
    yield "redirect-always", Answers("http2", (SETTINGS + redirect,))


def grpc_message(status: int | None = 1) -> bytes:
    """A HealthCheckResponse, length-prefixed."""
    body = b"" if status is None else b"\x08" + bytes((status,))
    return b"\x00" + len(body).to_bytes(4, "big") + body


GRPC_HEAD = (S200, ("content-type", "application/grpc"))
SERVING = grpc_message()


def grpc() -> Iterator[tuple[str, Answers]]:
    """gRPC in plaintext."""

    def one(*pieces: bytes, stay: bool = False) -> Answers:
        return Answers("grpc", (SETTINGS + b"".join(pieces),), stay)

    head, message = headers(*GRPC_HEAD), data(SERVING)
    trailers = headers(("grpc-status", "0"), end=END)
    good = head + message + trailers
    yield "ok", one(good)
    for name, extra in CONNECTION.items():
        yield f"before-{name}", one(extra, good)
        yield f"within-{name}", one(head, extra, message, trailers)
    for name, connection in FIRST_CONNECTIONS.items():
        if "after-head" in name or name == "goaway-1":
            continue  # that head is no gRPC response; the other ends with the timeout alone
        yield f"retry-{name}", Answers("grpc", (connection, SETTINGS + good), stay=name.startswith(STAYING))
    for name, more in FIELDS.items():
        yield f"head-{name}", one(headers(*GRPC_HEAD, *more), message, trailers)
        yield f"trailers-{name}", one(head, message, headers(("grpc-status", "0"), *more, end=END))
    for text in ("0", "1", "12", "14", "16", "17", "99", "", "x", "-1", "+0", "00", " 0", "0 ", "4294967296", "9" * 20):
        yield f"grpc-status-{text or 'empty'}", one(head, message, headers(("grpc-status", text), end=END))
    for first, second in (("0", "14"), ("14", "0"), ("0", "0"), ("x", "0"), ("0", "x")):
        both = headers(("grpc-status", first), ("grpc-status", second), end=END)
        yield f"grpc-status-{first}-then-{second}", one(head, message, both)
    yield "trailers-only-14", one(headers(*GRPC_HEAD, ("grpc-status", "14"), end=END))
    yield "trailers-without-status", one(head, message, headers(("x", "a"), end=END))
    types = ("application/grpc", "application/grpc+proto", "application/grpc;x", "APPLICATION/GRPC", "text/html", "")
    for text in (*types, "application/grpcx", " application/grpc", "application/grpc "):
        yield f"type-{text or 'empty'}", one(headers(S200, ("content-type", text)), message, trailers)
    interim = headers((":status", "103"))
    yield "interim", one(interim, good)
    for number in range(6):
        yield f"health-{number}", one(head, data(grpc_message(number)), trailers)
    messages = {
        "none": b"",
        "compressed": b"\x01" + SERVING[1:],
        "wire-type-6": b"\x00\x00\x00\x00\x03\x08\x01\x16",
        "long": SERVING + b"x",
        "unknown-varint": b"\x00\x00\x00\x00\x04\x08\x01\x10\x05",
        "unknown-bytes": b"\x00\x00\x00\x00\x06\x08\x01\x12\x02ab",
        "unknown-bytes-short": b"\x00\x00\x00\x00\x05\x08\x01\x12\x02a",
        "unknown-fixed64": b"\x00\x00\x00\x00\x0b\x08\x01\x11abcdefgh",
        "field-0": b"\x00\x00\x00\x00\x04\x08\x01\x00\x01",
        "long-varint": b"\x00\x00\x00\x00\x03\x08\x81\x00",
        "large": b"\x00\x00\x00\x20\x00\x08\x01\x12\xfb\x3f" + bytes(8_187),
    }
    for name, payload in messages.items():
        yield f"message-{name}", one(head, data(payload), trailers)
    yield "encoding-gzip", one(headers(*GRPC_HEAD, ("grpc-encoding", "gzip")), message, trailers)
    yield "data-first", one(data(SERVING), trailers)
    yield "data-before-head", one(message, head, trailers)
    yield "data-before-head-in-parts", one(data(SERVING[:3]), interim, data(), head, data(SERVING[3:]), trailers)
    yield "data-before-only-trailers", one(message, headers(*GRPC_HEAD, ("grpc-status", "0"), end=END))
    yield "data-end-before-head", one(data(SERVING, END), head, trailers)
    yield "stalls", one(head, stay=True)
    yield "close-after-message", one(head, message)


def http1() -> Iterator[tuple[str, Answers]]:
    """HTTP/1 in plaintext."""

    def one(*pieces: bytes, stay: bool = False) -> Answers:
        return Answers("http1", (b"".join(pieces),), stay)

    ok, end = b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\nok"
    lines = {
        "no-reason": b"HTTP/1.1 200\r\n",
        "two-spaces": b"HTTP/1.1  200 OK\r\n",
        "lower-case": b"http/1.1 200 OK\r\n",
        "http-2": b"HTTP/2.0 200 OK\r\n",
        "http-1.2": b"HTTP/1.2 200 OK\r\n",
        "status-20": b"HTTP/1.1 20 OK\r\n",
        "status-2000": b"HTTP/1.1 2000 OK\r\n",
        "status-text": b"HTTP/1.1 abc OK\r\n",
        "leading-blank": b"\r\nHTTP/1.1 200 OK\r\n",
    }
    for name, line in lines.items():
        yield f"line-{name}", one(line, end)
    fields = {
        "space-before-colon": b"A : b\r\n",
        "no-name": b": b\r\n",
        "no-colon": b"A\r\n",
        "continued": b"A: b\r\n c\r\n",
        "continued-first": b" c\r\n",
        "nul": b"A: a\x00b\r\n",
        "beyond-ascii-name": b"\xe9: a\r\n",
        "bare-carriage-return": b"A: a\rb\r\n",
        "bare-line-feed": b"A: b\n",
        "lengths-differ": b"Content-Length: 3\r\n",
        "chunked-and-length": b"Transfer-Encoding: chunked\r\n",
        "gzip-encoding": b"Transfer-Encoding: gzip\r\n",
        "connection-close": b"Connection: close\r\n",
        "quote-in-name": b'"A": b\r\n',
    }
    for name, field in fields.items():
        yield f"field-{name}", one(ok, field, end)
    for text in (b"0", b"1", b"3", b"+2", b"-2", b"2x", b"", b" 2 ", b"02", b"2,2", b"9" * 19, b"9" * 20):
        yield f"length-{text.decode() or 'empty'}", one(ok, b"Content-Length: ", text, b"\r\n\r\nok")
    chunked = ok + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = {
        "ok": b"2\r\nok\r\n0\r\n\r\n",
        "extension": b"2;x=y\r\nok\r\n0\r\n\r\n",
        "space": b"2 \r\nok\r\n0\r\n\r\n",
        "prefix": b"0x2\r\nok\r\n0\r\n\r\n",
        "plus": b"+2\r\nok\r\n0\r\n\r\n",
        "long-size": b"0" * 16 + b"2\r\nok\r\n0\r\n\r\n",
        "empty-size": b"\r\nok\r\n0\r\n\r\n",
        "no-data-end": b"2\r\nokxx0\r\n\r\n",
        "bare-line-feeds": b"2\nok\n0\n\n",
        "no-last": b"2\r\nok\r\n",
        "trailer": b"2\r\nok\r\n0\r\nX: y\r\n\r\n",
        "bad-trailer": b"2\r\nok\r\n0\r\nno colon\r\n\r\n",
    }
    for name, body in chunks.items():
        yield f"chunks-{name}", one(chunked, body)
    for status in (*range(200, 209), 226, *range(300, 309), 400, 404, 418, 429, 500, 503, 600):
        yield f"status-{status}", one(b"HTTP/1.1 %d X\r\n" % status, end)
    for zone in ("%41%20", "%25a", "", "%2F", "%C3%A4", "%5B%5D"):
        location = f"Location: http://[fe80::1%25{zone}]/\r\n".encode()
        yield f"zone-{zone or 'empty'}", one(b"HTTP/1.1 302 X\r\n", location, end)
    yield "no-head-end", one(ok)
    yield "interim-many", one(b"HTTP/1.1 103 X\r\n\r\n" * 10, ok, end)


@cache
def every() -> dict[str, Answers]:
    """All of them by name."""
    return {f"{kind.__name__}/{name}": answers for kind in (http1, http2, grpc) for name, answers in kind()}

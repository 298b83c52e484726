"""Limits for clients that are slow, endless or many: uvicorn has none for what comes before an answer.

Whoever is too slow is cut off without an answer; Metacontroller's own time-out is 10 s.
"""

import asyncio
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 10.0
"""From the connection, or the first byte of a further request, to the end of its headers."""

REQUEST_SECONDS: Final = 60.0
"""From there to the last byte of the body and of the answer."""

MOST_HEAD: Final = 32 * 1024
"""Bytes of request line and headers. Metacontroller sends some 500."""

MOST_CONNECTIONS: Final = 512

LAST: Final = "last_request"
"""Set in the `state` of a request that is not Metacontroller's: its connection is closed after the answer."""

_REFUSAL: Final = b"HTTP/1.1 %d \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NO_HTTP, _TOO_LARGE = _REFUSAL % 400, _REFUSAL % 431


class Guarded(HttpToolsProtocol):
    """One connection."""

    head_seconds = HEAD_SECONDS
    request_seconds = REQUEST_SECONDS
    most_connections = MOST_CONNECTIONS

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0
    _sent_whole = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Counts it, and its first request's time begins."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
            return
        self._allow(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, as long as what it has not understood yet stays small.

        Instead of uvicorn's own, whose answer tells which server this is, and whose log anyone could fill.
        """
        if self._in_head:
            self._head += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self._refuse(_NO_HTTP)
        except HttpParserUpgrade:
            pass  # the request is answered as if it had not asked for another protocol
        if self._in_head and self._head > MOST_HEAD and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head, self._sent_whole = True, False
        self._allow(self.head_seconds)

    def on_headers_complete(self) -> None:
        """Hands the request to the application."""
        self._in_head, self._head = False, 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MOST_HEAD:
            self._refuse(_TOO_LARGE)
            return
        self._allow(self.request_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body; of a request that was refused it goes nowhere."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request's last byte."""
        self._sent_whole = True
        if self.cycle is not None:
            super().on_message_complete()
            self._settle()

    def on_response_complete(self) -> None:
        """The answer's last byte."""
        super().on_response_complete()
        self._settle()

    def _settle(self) -> None:
        """The time for a request ends when both sides have said all; a connection marked LAST ends with it.

        Not before: closed on a client that still sends, it would be reset, and the answer lost.
        """
        if self._sent_whole and self.cycle.response_complete:
            self._stop()
            if LAST in self.cycle.scope["state"]:
                self.transport.close()

    def _allow(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()


def limited(**limits: Any) -> type[Guarded]:
    """The same with other limits."""
    return type("Guarded", (Guarded,), limits)

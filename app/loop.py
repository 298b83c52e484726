"""The event loop of the hook: uvloop, with a limit for TLS handshakes."""

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

import uvloop

from runtime.http_server import Binding, Limits, serve_until_signal


class Loop(uvloop.Loop):
    """uvicorn cannot set this limit, and before the end of its handshake no connection is counted."""

    handshake_seconds = Limits().head_seconds

    async def create_server(self, protocol_factory: Any, *arguments: Any, ssl: Any = None, **options: Any) -> Any:
        """As the loop's own."""
        if ssl is not None:
            options["ssl_handshake_timeout"] = self.handshake_seconds
        return await super().create_server(protocol_factory, *arguments, ssl=ssl, **options)


def serve(bindings: Sequence[Binding], drain: float = 0) -> signal.Signals:
    """Serve until SIGTERM or SIGINT, and return that signal: see `serve_until_signal`."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(serve_until_signal(bindings, drain))

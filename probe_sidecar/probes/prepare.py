"""From a probe and an address to everything that can be known before the first connection (pure, once a target)."""

import ssl
from collections.abc import Callable
from functools import lru_cache, partial

from app.api.plain import GRPCAction, HTTPGetAction, Probe
from probe_sidecar.probes import tcp, tls
from probe_sidecar.probes.exchange import Hop, socket_address
from probe_sidecar.probes.http1 import Http1Exchange
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.request import CannotSend, HttpRequest, first_request, http1


class PreparedProbe:
    """One target, ready to be started again and again; compared by identity. `timeout` spans a whole probe, in seconds.

    A probe whose request cannot be sent at all has no `hop` but a `refusal`, which is its outcome every time.
    """

    __slots__ = ("hop", "refusal", "timeout")

    def __init__(self, hop: Hop | None, timeout: float, refusal: Outcome | None = None) -> None:
        self.hop = hop
        self.timeout = timeout
        self.refusal = refusal


def prepare(probe: Probe, ip: str, dial: str | None = None, *, context: ssl.SSLContext | None = None) -> PreparedProbe:
    """Never raises for a valid Probe and a canonical address.

    `dial` is the address to connect to where that is another one (the playground's loopback); what is sent still names
    `ip`. `context` verifies (see `tls.verified`); None: nothing is verified.
    """
    dial = dial or ip
    timeout = float(probe.timeoutSeconds)
    action = probe.handler
    if isinstance(action, GRPCAction):
        from probe_sidecar.probes import grpc  # noqa: PLC0415 - HTTP/2 takes 2 MB, for those who speak it

        return PreparedProbe(grpc.hop(action, ip, dial, probe.timeoutSeconds), timeout)
    if not isinstance(action, HTTPGetAction):
        return PreparedProbe(tcp.hop(dial, action.port), timeout)
    try:
        request = first_request(action, ip, dial)
    except CannotSend as problem:
        return PreparedProbe(None, timeout, Outcome(Result.FAILURE, str(problem)))
    return PreparedProbe(http_hop(context, request), timeout)


def http_hop(context: ssl.SSLContext | None, request: HttpRequest) -> Hop:
    """Plain or over TLS, by the URL's scheme; a redirect's hop is made in the same way."""
    again = _next_hop(context)
    one = partial(Http1Exchange, request, http1(request), again)
    plain = Hop(socket_address(request.dial, request.port), one)
    if request.url.scheme == "http":
        return plain
    from probe_sidecar.probes.http2 import Http2Exchange  # noqa: PLC0415 - as above

    two = partial(Http2Exchange, request, again)
    # Without a name it is the address that a verified certificate must be for; an address is never sent as SNI.
    name = request.server_name or (request.url.hostname if context is not None else None)
    return tls.hop(plain, context or tls.unverified(), name, {"": one, "http/1.1": one, "h2": two})


@lru_cache(maxsize=8)
def _next_hop(context: ssl.SSLContext | None) -> Callable[[HttpRequest], Hop]:
    """One for all targets: 200 bytes that each would hold for a redirect that few ever see."""
    return partial(http_hop, context)

"""From a probe and an address to everything that can be known before the first connection (pure, once a target)."""

import ssl
from dataclasses import dataclass, field
from functools import partial

from external_service.core import GRPCAction, HTTPGetAction, Probe
from external_service.kind import LONGEST_TIMEOUT
from probe_sidecar.fair_queue import NOBODY, Group
from probe_sidecar.probes import tls
from probe_sidecar.probes.exchange import Hop, Outcome, Result, socket_address, tcp_hop
from probe_sidecar.probes.http1 import Again, Asked
from probe_sidecar.probes.request import CannotSend, HttpRequest, Secrets, first_request
from probe_sidecar.probes.tls import Certificate


@dataclass(frozen=True, slots=True, repr=False)
class Referenced:
    """Contents of ConfigMaps and Secrets that a probe names: values of headers, and a context that verifies (see
    `tls.verified`) or presents a certificate; None: neither.
    """

    context: ssl.SSLContext | None = None
    headers: Secrets = field(default_factory=dict)


NOTHING = Referenced()


@dataclass(slots=True, eq=False)
class PreparedProbe:
    """One target, ready to be started again and again; compared by identity. `timeout` spans a whole probe, in seconds.

    A probe whose request cannot be sent at all has no `hop` but a `refusal`, which is its outcome every time.
    `certificate` is what the address presented last; None where no TLS is spoken.
    `group` is whose share of the places it takes. `heavy` is the engine's: so many probes more are read slowly, because
    the response to one took much time.
    """

    hop: Hop | None
    timeout: float
    refusal: Outcome | None = None
    certificate: Certificate | None = None
    group: Group = NOBODY
    heavy: int = 0


def prepare(
    probe: Probe,
    ip: str,
    dial: str | None = None,
    found: Referenced = NOTHING,
    *,
    longest_timeout: int = LONGEST_TIMEOUT,
) -> PreparedProbe:
    """Never raises for a valid Probe and a canonical address.

    `dial` is the address to connect to where that is another one (the playground's loopback); what is sent still names
    `ip`. `found` is what the probe names. `longest_timeout` is in seconds.
    """
    dial = dial or ip
    timeout = min(probe.timeoutSeconds, longest_timeout)
    action = probe.handler
    if isinstance(action, GRPCAction):
        from probe_sidecar.probes import grpc  # noqa: PLC0415 - HTTP/2 takes 2 MB, for those who speak it

        certificate = Certificate() if action.tls is not None else None
        call = grpc.hop(action, ip, dial, probe.timeoutSeconds, context=found.context, certificate=certificate)
        return PreparedProbe(call, timeout, certificate=certificate)
    if not isinstance(action, HTTPGetAction):
        return PreparedProbe(tcp_hop(dial, action.port), timeout)
    try:
        request = first_request(action, ip, dial, found.headers)
    except CannotSend as problem:
        return PreparedProbe(None, timeout, Outcome(Result.FAILURE, str(problem)))
    certificate = Certificate() if action.scheme == "HTTPS" else None
    again = None if request.secret else (action, ip, dial)
    return PreparedProbe(http_hop(found.context, certificate, request, again), timeout, certificate=certificate)


def http_hop(
    context: ssl.SSLContext | None, certificate: Certificate | None, request: HttpRequest, again: Again | None = None
) -> Hop:
    """Plain or over TLS, by the URL's scheme; a redirect's hop is made in the same way. `again`: see `Asked`."""
    hop = _plain_hop if context is None and certificate is None else partial(http_hop, context, certificate)
    asked = Asked(request, hop, again)
    address = socket_address(request.dial, request.port)
    one = Hop(address, shared=asked) if asked.plain else Hop(address, asked.read)
    if request.url.scheme == "http" and request.action.protocol != "HTTP2":
        return one
    from probe_sidecar.probes import http2  # noqa: PLC0415 - as above

    two = partial(http2.read, request, hop)
    if request.url.scheme == "http":
        return Hop(address, two)
    # Without a name it is the address that a verified certificate must be for; an address is never sent as SNI.
    name = request.server_name or (request.url.hostname if context is not None else None)
    protocols: dict[str, tls.OpenInner] = {"": asked.read, "http/1.1": asked.read, "h2": two}
    return tls.hop(address, context or tls.unverified(), name, protocols, certificate)


_plain_hop = partial(http_hop, None, None)

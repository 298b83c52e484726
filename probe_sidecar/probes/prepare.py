"""From a probe and an address to everything that can be known before the first connection (pure, once a target)."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MethodType

from external_service.core import GRPCAction, HTTPGetAction, Probe
from external_service.kind import LONGEST_TIMEOUT
from probe_sidecar.fair_queue import NOBODY, Group
from probe_sidecar.probes import message, tls
from probe_sidecar.probes.exchange import Exchange, Hop, SocketAddress, Step, socket_address, tcp_hop
from probe_sidecar.probes.http1 import Http1Exchange, quick
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.request import NO_SECRETS, CannotSend, HttpRequest, Secrets, first_request, http1_parts
from probe_sidecar.probes.tls import Certificate


@dataclass(frozen=True, slots=True, repr=False)
class Referenced:
    """Contents of ConfigMaps and Secrets that a probe names: certificates to verify with and to present, values of
    headers.
    """

    context: ssl.SSLContext | None = None
    headers: Secrets = field(default_factory=dict)


class PreparedProbe:
    """One target, ready to be started again and again; compared by identity. `timeout` spans a whole probe, in seconds.

    A probe whose request cannot be sent at all has no `hop` but a `refusal`, which is its outcome every time.
    `certificate` is what the address presented last; None where no TLS is spoken.
    `group` is whose share of the places it takes. `heavy` is the engine's: so many probes more are read slowly, because
    the response to one took much time.
    """

    __slots__ = ("certificate", "group", "heavy", "hop", "refusal", "timeout")

    def __init__(
        self,
        hop: Hop | None,
        timeout: float,
        refusal: Outcome | None = None,
        certificate: Certificate | None = None,
        group: Group = NOBODY,
    ) -> None:
        self.hop = hop
        self.timeout = timeout
        self.refusal = refusal
        self.certificate = certificate
        self.heavy = 0
        self.group = group


def prepare(
    probe: Probe,
    ip: str,
    dial: str | None = None,
    *,
    context: ssl.SSLContext | None = None,
    headers: Secrets = NO_SECRETS,
    longest_timeout: int = LONGEST_TIMEOUT,
) -> PreparedProbe:
    """Never raises for a valid Probe and a canonical address.

    `dial` is the address to connect to where that is another one (the playground's loopback); what is sent still names
    `ip`. `context` verifies (see `tls.verified`) or presents a certificate; None: neither. `headers` are the values
    that the probe takes from Secrets. `longest_timeout` is in seconds.
    """
    dial = dial or ip
    timeout = _seconds(min(probe.timeoutSeconds, longest_timeout))
    action = probe.handler
    if isinstance(action, GRPCAction):
        from probe_sidecar.probes import grpc  # noqa: PLC0415 - HTTP/2 takes 2 MB, for those who speak it

        certificate = Certificate() if action.tls is not None else None
        call = grpc.hop(action, ip, dial, probe.timeoutSeconds, context=context, certificate=certificate)
        return PreparedProbe(call, timeout, certificate=certificate)
    if not isinstance(action, HTTPGetAction):
        return PreparedProbe(tcp_hop(dial, action.port), timeout)
    try:
        request = first_request(action, ip, dial, headers)
    except CannotSend as problem:
        return PreparedProbe(None, timeout, Outcome(Result.FAILURE, str(problem)))
    if action.scheme == "HTTP" and not request.http2 and not request.secret:
        first = First(action, ip, dial, http1_parts(request), request.expects.plain)
        return PreparedProbe(first.hop(socket_address(dial, action.port)), timeout)
    certificate = Certificate() if action.scheme == "HTTPS" else None
    return PreparedProbe(http_hop(context, request, certificate), timeout, certificate=certificate)


class First:
    """The first request to one target, over plain HTTP, again and again.

    It holds the bytes to send, of which it shares the headers with other targets, and makes the request again for the
    few responses that need it: the requests of 10,000 targets would take 4 MB.
    """

    __slots__ = ("_action", "_dial", "_ip", "_parts", "plain")

    def __init__(self, action: HTTPGetAction, ip: str, dial: str, parts: tuple[bytes, bytes], plain: bool) -> None:
        self._parts = parts
        self.plain = plain
        self._action = action
        self._ip = ip
        self._dial = dial

    phase = message.WAITING

    def hop(self, address: SocketAddress) -> Hop:
        """Itself if the first piece of a plain response is sufficient, else an exchange for each probe."""
        # The class bound to its one argument, as a method is to its object: a third of what a partial takes.
        return Hop(address, shared=self) if self.plain else Hop(address, MethodType(Http1Exchange, self))

    def begin(self) -> bytes:
        """The whole request."""
        first, headers = self._parts
        return first + headers

    @property
    def wire(self) -> bytes:
        """The same, for an exchange of its own."""
        return self.begin()

    def feed(self, data: bytes) -> Step | Exchange:
        """See FastPath."""
        return quick(data) or self._go_on(data)

    def _go_on(self, data: bytes) -> Step | Exchange:
        exchange = Http1Exchange(self)
        step = exchange.read(data)
        return exchange if step is None else step

    def request(self) -> HttpRequest:
        """Request from which `wire` was made."""
        return first_request(self._action, self._ip, self._dial)

    def next_hop(self, request: HttpRequest) -> Hop:
        """To wherever a redirect leads."""
        return http_hop(None, request)


class Parsed:
    """Any other request, as it was read. `context` verifies, on the way that a redirect leads as well."""

    __slots__ = ("_certificate", "_context", "_parts", "_request", "plain")

    def __init__(
        self, request: HttpRequest, context: ssl.SSLContext | None, certificate: Certificate | None = None
    ) -> None:
        self._certificate = certificate
        self._parts = http1_parts(request)
        self.plain = request.expects.plain and not request.redirects
        self._request = request
        self._context = context

    @property
    def wire(self) -> bytes:
        """The whole request."""
        first, headers = self._parts
        return first + headers

    def request(self) -> HttpRequest:
        """Request from which `wire` was made."""
        return self._request

    def next_hop(self, request: HttpRequest) -> Hop:
        """To wherever a redirect leads."""
        return http_hop(self._context, request, self._certificate)


def http_hop(context: ssl.SSLContext | None, request: HttpRequest, certificate: Certificate | None = None) -> Hop:
    """Plain or over TLS, by the URL's scheme; a redirect's hop is made in the same way."""
    asked = Parsed(request, context, certificate)
    one = MethodType(Http1Exchange, asked)
    address = socket_address(request.dial, request.port)
    bare = Hop(address, one)
    if request.url.scheme == "http" and not request.http2:
        return bare
    from probe_sidecar.probes.http2 import Http2Exchange  # noqa: PLC0415 - as above

    two = partial(Http2Exchange, request, asked.next_hop)
    if request.url.scheme == "http":
        return Hop(address, two)
    # Without a name it is the address that a verified certificate must be for; an address is never sent as SNI.
    name = request.server_name or (request.url.hostname if context is not None else None)
    return tls.hop(bare, context or tls.unverified(), name, {"": one, "http/1.1": one, "h2": two}, certificate)


@lru_cache(maxsize=64)
def _seconds(whole: int) -> float:
    """One number for all targets with the same time-out."""
    return float(whole)

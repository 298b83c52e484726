"""The request of an HTTP probe, byte for byte the kubelet's (docs/conformance.md, lines 1 to 5; deviation D8)."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from external_service.core import HTTPGetAction, HTTPHeader
from external_service.kind import host_port, is_ip
from probe_sidecar.probes import url
from probe_sidecar.probes.url import Url

USER_AGENT = "kube-probe/1.36"
"""The kubelet's User-Agent: servers and firewalls recognise health checks by it (ADR 4)."""

Fields = tuple[tuple[str, str], ...]

Secrets = Mapping[tuple[str, str], str]
"""Values of headers by the name and the key of the Secret that holds them, one character a byte."""

NO_SECRETS: Secrets = MappingProxyType({})

_DROPPED = frozenset({"Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"})
_DROPPED_IN_HTTP2 = frozenset({"connection", "proxy-connection", "transfer-encoding", "upgrade", "keep-alive"})
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no header value may contain."""
_HOST_HEADER = re.compile(r"[!$%&'()*+,\-.:;=\[\]_~0-9A-Za-z]*")
_ZONE = re.compile(r"(\A\[[^%\]]*)%[^\]]*")
_LONGEST_NAME = 253
_DNS_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_\-]{1,63}(?:\.[A-Za-z0-9_\-]{1,63})*")
_SPACE = " \t\r\n"


class CannotSend(ValueError):
    """The probe describes a request that no client can send; the text names the field, never a value."""


@dataclass(frozen=True, slots=True, eq=False)
class HttpRequest:
    """One hop. `dial` is the address to connect to, whatever the URL says (D8).

    `host` is what the Host header says instead of the URL's host, empty where they are the same.
    """

    action: HTTPGetAction = field(repr=False)
    dial: str
    url: Url
    host: str
    headers: Fields = field(repr=False)
    """Canonical names, in the order given, repeats kept; `Host` never among them."""
    redirects: int = 0
    retries: int = 0
    """Connections on which the server did not process a request of this probe (HTTP/2)."""

    @property
    def secret(self) -> frozenset[str]:
        """Names of the headers whose values are from Secrets."""
        return frozenset(_canonical(one.name) for one in self.action.httpHeaders if one.valueFrom is not None)

    @property
    def authority(self) -> str:
        """The Host header. An invalid one is sent empty, as in Go (line 3)."""
        wanted = _ascii_host(self.host or self.url.host)
        return wanted if _HOST_HEADER.fullmatch(wanted) else ""

    @property
    def server_name(self) -> str | None:
        """The name for SNI: the probe's, else that of the Host header, none if it is an address (deviation D3)."""
        if self.action.tls is not None and self.action.tls.serverName:
            return self.action.tls.serverName
        name = url.split_host(self.authority)[0].removesuffix(".")
        return name if _DNS_NAME.fullmatch(name) and not is_ip(name) else None

    @property
    def port(self) -> int:
        """Port to connect to: the URL's, else the scheme's default; 0 if it is above 65535, as in a redirect."""
        if not self.url.port:
            return 443 if self.url.scheme == "https" else 80
        digits = self.url.port.lstrip("0")
        return int(digits or 0) if len(digits) <= 5 and int(digits or 0) < 65_536 else 0


def first_request(action: HTTPGetAction, ip: str, dial: str, secrets: Secrets = NO_SECRETS) -> HttpRequest:
    """The request that opens a probe. `secrets` has all that its headers name. Raises CannotSend."""
    for header in action.httpHeaders:
        if CONTROL.search(header.value):
            raise CannotSend(control_character(header.name))
    named = [(_canonical(header.name), _value(header, secrets)) for header in action.httpHeaders]
    try:
        target = url.of_probe(action.scheme.lower(), host_port(ip, action.port), action.path)
    except url.BadUrl as problem:
        raise CannotSend(f"httpGet.path: {problem}") from None
    host = next((value for name, value in named if name == "Host"), "") or _host_of(action)
    headers = _with_defaults(named)
    request = HttpRequest(action, dial, target, host, headers)
    return request if request.secret else replace(request, headers=_shared(headers))


def redirected(request: HttpRequest, target: Url, *, relative: bool) -> HttpRequest:
    """The next hop: a relative Location keeps a custom Host, an absolute one does not (line 11); Referer is added.

    Values from Secrets go to no other port and no other scheme (deviation D15).
    """
    headers = request.headers
    there = replace(request, url=target)
    if (there.url.scheme, there.port) != (request.url.scheme, request.port):
        headers = tuple(one for one in headers if one[0] not in request.secret)
    if not (request.url.scheme == "https" and target.scheme == "http") and not _first(headers, "Referer"):
        headers = (*(field for field in headers if field[0] != "Referer"), ("Referer", str(request.url)))
    host = request.host if relative else ""
    return replace(request, url=target, host=host, headers=headers, redirects=request.redirects + 1)


def http1_parts(request: HttpRequest) -> tuple[bytes, bytes]:
    """The request on a connection of HTTP/1.1: request line and Host, which are one address's, and the headers, which
    thousands of targets share: User-Agent, the others sorted by name, Connection: close.
    """
    first = f"{request.action.method} {request.url.request_target} HTTP/1.1\r\nHost: {request.authority}\r\n"
    header_lines = _header_lines if request.secret else _shared_header_lines
    return first.encode("latin-1"), header_lines(request.headers, request.url.user)


def _header_lines(headers: Fields, user: str | None) -> bytes:
    lines = []
    agent = _first(headers, "User-Agent").strip(_SPACE)
    if agent:
        lines.append(f"User-Agent: {agent}")
    lines += [f"{name}: {value.strip(_SPACE)}" for name, value in _sorted(headers, user)]
    if not _says_close(headers) and not _switches_protocol(headers):
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


_shared_header_lines = lru_cache(maxsize=256)(_header_lines)
"""Equal headers once, not for each of thousands of targets. Values from Secrets would outlive their ExternalService."""


def http2(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """The same as a field section of HTTP/2, which has no connection-specific fields (RFC 9113 8.2.2)."""
    fields = [
        (":authority", request.authority),
        (":method", request.action.method),
        (":path", request.url.request_target),
        (":scheme", request.url.scheme),
    ]
    others = [(name.lower(), value.strip(_SPACE)) for name, value in _sorted(request.headers, request.url.user)]
    fields += [(name, value) for name, value in others if name not in _DROPPED_IN_HTTP2]
    agent = _first(request.headers, "User-Agent").strip(_SPACE)
    if agent:
        fields.append(("user-agent", agent))
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def _value(header: HTTPHeader, secrets: Secrets) -> str:
    if header.valueFrom is None:
        return url.from_text(header.value)
    return secrets[header.valueFrom.secretKeyRef.name, header.valueFrom.secretKeyRef.key]


def control_character(name: str) -> str:
    """`name` is that of the header whose value has one."""
    return f'httpHeaders "{name}": control character in the value'


def _host_of(action: HTTPGetAction) -> str:
    host = url.from_text(action.host)
    bare = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    if not _HOST_HEADER.fullmatch(_ascii_host(bare)):
        raise CannotSend("httpGet.host: not a host name; write a name or an address, without scheme and path")
    return bare


def _with_defaults(named: Iterable[tuple[str, str]]) -> Fields:
    headers = [field for field in named if field[0] != "Host"]
    names = {name for name, _ in headers}
    if "User-Agent" not in names:
        headers.append(("User-Agent", USER_AGENT))
    if "Accept" not in names:
        headers.append(("Accept", "*/*"))
    elif not _first(headers, "Accept"):
        headers = [field for field in headers if field[0] != "Accept"]
    return tuple(headers)


@lru_cache(maxsize=256)
def _shared(headers: Fields) -> Fields:
    """As `_shared_header_lines`."""
    return headers


def _sorted(given: Fields, user: str | None) -> Fields:
    headers = [field for field in given if field[0] not in _DROPPED]
    if user is not None and not _first(headers, "Authorization"):
        token = base64.b64encode((user if ":" in user else user + ":").encode("latin-1")).decode()
        headers = [field for field in headers if field[0] != "Authorization"]
        headers.append(("Authorization", f"Basic {token}"))
    return tuple(sorted(headers, key=lambda field: field[0]))


def _first(headers: Iterable[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in headers if name == wanted), "")


def _says_close(headers: Fields) -> bool:
    return "close" in _tokens(_first(headers, "Connection"))


def _switches_protocol(headers: Fields) -> bool:
    connection = [value for name, value in headers if name == "Connection"]
    return bool(_first(headers, "Upgrade")) and any("upgrade" in _tokens(value) for value in connection)


def _tokens(value: str) -> set[str]:
    return {token.strip(_SPACE).lower() for token in value.split(",")}


@lru_cache(maxsize=256)
def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


@lru_cache(maxsize=64)
def _ascii_host(host: str) -> str:
    """Without the zone of an address, and with Punycode for letters beyond ASCII: as Go, without mapping any.

    A name that DNS takes for too long stays as it is, and is then refused: the time for Punycode is quadratic.
    """
    if host.isascii():
        return _ZONE.sub(r"\1", host)
    name, colon, port = host.encode("latin-1").decode(errors="replace").partition(":")
    if len(name) > _LONGEST_NAME:
        return host
    labels = [label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in name.split(".")]
    return ".".join(labels) + colon + port

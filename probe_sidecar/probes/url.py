"""URLs as Go's net/url reads and writes them, as the kubelet does (docs/conformance.md, lines 1, 2, 9, 10).

A str here holds bytes, one a character (latin-1), as they go on the wire: `from_text` makes one from ordinary text.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from functools import lru_cache

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_OPTIONAL_PORT = re.compile(r"(?::[0-9]*)?")
_PATH_AS_IT_IS = re.compile(r"[A-Za-z0-9\-._~/!$&'()*+,;=:@\[\]%]*")
_ESCAPED_IN_PATH = re.compile(r"[^A-Za-z0-9\-._~/$&+,;=:@]")
_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>\"\x80-\xff%]")
_ESCAPED_ASCII = re.compile(r"%(?!25)[0-7]")
_NOT_IN_ZONE = re.compile(_NOT_IN_HOST.pattern.replace(r"\x80-\xff", " "))
"""Of what is escaped in an IPv6 zone."""
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


class BadUrl(ValueError):
    """A reference that Go's url.Parse refuses."""


@dataclass(frozen=True, slots=True)
class Url:
    """`host` keeps its port and brackets, `path` is escaped for the wire, `query` is None where there is no "?".

    `user` is the unescaped "name:password"; `opaque` marks a URL without a host that names no path ("mailto:x").
    """

    scheme: str = ""
    host: str = ""
    path: str = ""
    query: str | None = None
    user: str | None = None
    opaque: bool = False

    @property
    def hostname(self) -> str:
        """The host without port and brackets, in the letters it was written in (Go compares it so)."""
        return split_host(self.host)[0]

    @property
    def port(self) -> str:
        """The port as written, or empty."""
        return split_host(self.host)[1]

    @property
    def request_target(self) -> str:
        """The target of the request line."""
        path = self.path or "/"
        return path if self.query is None else f"{path}?{self.query}"

    def __str__(self) -> str:
        """Without the user, as a Referer shows it."""
        path = self.path if not self.path or self.path.startswith("/") else "/" + self.path
        return f"{self.scheme}://{self.host}{path}" + ("" if self.query is None else f"?{self.query}")


def from_text(text: str) -> str:
    """Text as its UTF-8 bytes, one a character."""
    return text.encode().decode("latin-1")


def split_host(host: str) -> tuple[str, str]:
    """(host, port) of "host", "host:port" or "[v6]:port", either part maybe empty."""
    name, colon, port = host.rpartition(":")
    if not colon or (port and not (port.isascii() and port.isdigit())):
        name, port = host, ""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    return name, port


def parse(text: str) -> Url:
    """Read a reference, absolute or relative; the fragment is dropped. Raises BadUrl."""
    rest, _, fragment = text.partition("#")
    if _CONTROL.search(rest):
        raise BadUrl("control character")
    if _BAD_ESCAPE.search(fragment):
        raise BadUrl("escape in the fragment")
    if rest.startswith(":"):
        raise BadUrl("missing scheme")
    scheme, rest = _split_scheme(rest)
    rest, mark, found = rest.partition("?")
    query = found if found or mark else None
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme=scheme, query=query, opaque=bool(rest))
        if ":" in rest.partition("/")[0]:
            raise BadUrl("colon in the first segment")
    if not rest.startswith("//") or (not scheme and rest.startswith("///")):
        return Url(scheme=scheme, path=_escaped_path(rest), query=query)
    authority, slash, path = rest[2:].partition("/")
    user, host = _split_authority(scheme, authority)
    return Url(scheme=scheme, host=host, path=_escaped_path(slash + path), query=query, user=user)


def of_probe(scheme: str, host: str, path: str) -> Url:
    """The URL of an HTTP probe: `path` gives path, query and user; a scheme or host in it is overwritten (line 2).

    Text that cannot be parsed is taken literally and escaped. Raises BadUrl for "x:y", which leaves no path at all.
    """
    found = _of_path(path)
    if found.opaque:
        raise BadUrl("it reads as scheme:something; begin it with /")
    return replace(found, scheme=scheme, host=host)


@lru_cache(maxsize=64)
def _of_path(path: str) -> Url:
    """Once for all addresses of a probe: to escape a long one takes 2 ms."""
    text = from_text(path)
    try:
        found = parse(text)
    except BadUrl:
        found = Url(path=_escape(text))
    return found if not found.path or found.path.startswith("/") else replace(found, path="/" + found.path)


def resolve(base: Url, reference: Url) -> Url:
    """The target of a redirect (RFC 3986 5.2, as Go does it)."""
    scheme = reference.scheme or base.scheme
    if reference.opaque:
        return replace(reference, scheme=scheme)
    if reference.scheme or reference.host or reference.user is not None:
        return replace(reference, scheme=scheme, path=_without_dots(reference.path))
    keeps_query = not reference.path and reference.query is None
    path = reference.path
    if not path:
        path = base.path
    elif not path.startswith("/"):
        path = base.path[: base.path.rfind("/") + 1] + path
    return replace(base, path=_without_dots(path), query=base.query if keeps_query else reference.query)


def _split_scheme(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    return (found[1].lower(), text[found.end() :]) if found else ("", text)


def _split_authority(scheme: str, authority: str) -> tuple[str | None, str]:
    before, at, host = authority.rpartition("@")
    _check_host(scheme, host)
    host = _unescape(host)
    if not at:
        return None, host
    if not _USERINFO.fullmatch(before) or _BAD_ESCAPE.search(before):
        raise BadUrl("user")
    return _unescape(before), host


def _check_host(scheme: str, host: str) -> None:
    escaped = host
    if host.startswith("["):
        name, bracket, port = host.rpartition("]")
        address, mark, zone = name[1:].partition("%25")
        escaped = address + port
        try:
            ipaddress.IPv6Address(address if bracket else "")
        except ValueError:
            raise BadUrl("host in brackets") from None
        if (mark and not zone) or any(_NOT_IN_ZONE.match(_unescape(one[0])) for one in _ESCAPE.finditer(zone)):
            raise BadUrl("zone")
    else:
        # Go is strict about a second colon only where the scheme is known to allow none.
        name, colon, digits = host.partition(":") if scheme in ("http", "https") else host.rpartition(":")
        port = colon + digits if colon else ""
    if "[" in host[1:] or not _OPTIONAL_PORT.fullmatch(port):
        raise BadUrl("port")
    if _NOT_IN_HOST.search(host) or _BAD_ESCAPE.search(host) or _ESCAPED_ASCII.search(escaped):
        raise BadUrl("host")


def _escaped_path(path: str) -> str:
    if _BAD_ESCAPE.search(path):
        raise BadUrl("escape in the path")
    return path if _PATH_AS_IT_IS.fullmatch(path) else _escape(_unescape(path))


def _escape(path: str) -> str:
    return _ESCAPED_IN_PATH.sub(lambda found: f"%{ord(found[0]):02X}", path)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _without_dots(path: str) -> str:
    """Go's resolvePath: "." and ".." resolved, always with a leading slash unless empty."""
    if not path:
        return ""
    built, first = "/", True
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            built = built[: max(1, built.rfind("/", 1))]
            first = len(built) == 1
        elif segment == ".":
            first = False
        else:
            built += segment if first else "/" + segment
            first = False
    if segments[-1] in (".", ".."):
        built += "/"
    return built[1:] if built.startswith("//") else built

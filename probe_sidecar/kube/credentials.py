"""Address of the API server and credentials: an Access value, from a Pod's service account or from a plain URL.

Nothing here reads the environment or opens a connection.
"""

import ssl
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from external_service.kind import host_port

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Directory in which the kubelet mounts `token` and `ca.crt` in every Pod."""


class CredentialsError(Exception):
    """Credentials that cannot be used; the text names the file, the field, and what to write instead."""


class Token(httpx.Auth):
    """A bearer token. `header` makes the Authorization header, again for each request, because tokens in files rotate;
    one that cannot be read for a moment (the kubelet swaps a symbolic link) leaves the last one in use.
    """

    def __init__(self, header: Callable[[], str]) -> None:
        self._make = header
        self._header = header()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        with suppress(OSError, CredentialsError):
            self._header = self._make()
        request.headers["Authorization"] = self._header
        yield request


def token_file(path: Path) -> Token:
    """A token in a file. Raises CredentialsError."""
    try:
        return Token(lambda: bearer(path.read_text(encoding="utf-8", errors="replace"), str(path)))
    except OSError as error:
        raise CredentialsError(f"{path}: cannot read the token: {error.strerror}") from error


def bearer(token: str, source: str) -> str:
    """The Authorization header of a token; `source` names where it came from, the error never shows the token."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialsError(f"{source}: not a bearer token (empty, or with spaces or control characters in it)")
    return f"Bearer {token}"


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and our identity there. `server_name` overrides the name its certificate is checked for."""

    server: str
    tls: ssl.SSLContext = field(repr=False)
    auth: httpx.Auth | None = field(default=None, repr=False)
    server_name: str | None = None


def in_cluster(host: str, port: str, directory: Path = SERVICE_ACCOUNT) -> Access:
    """Access of a Pod: KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT and the mounted service account."""
    certificate = directory / "ca.crt"
    try:
        tls = tls_context(authority=certificate.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CredentialsError(f"{certificate}: cannot use the API server's certificate authority: {error}") from error
    return Access(f"https://{host_port(host, port)}", tls, token_file(directory / "token"))


def plain_url(url: str) -> Access:
    """Access without credentials, as `kubectl proxy` offers it (http://127.0.0.1:8001)."""
    server = server_url(url, "the API server's address")
    # The system's authorities take 2 MB, and plain HTTP needs none of them.
    return Access(server, tls_context() if server.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def server_url(url: str, source: str) -> str:
    """`url` without a trailing slash; a path before /api and /apis is kept (Rancher and other front doors)."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise CredentialsError(f"{source}: {not_a_url(url)}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise CredentialsError(f"{source}: {not_a_url(url)}: write one like https://10.0.0.1:6443")
    return url.rstrip("/")


def not_a_url(url: object) -> str:
    """`url` is what the configuration has, of any type."""
    return f"{url!r} is not a URL"


def tls_context(authority: str | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """The TLS context for the API server; `authority` is PEM, None means the system's. ValueError on bad PEM."""
    try:
        tls = ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        raise ValueError(f"no PEM certificate ({error.reason or error})") from error
    # Python 3.13 turns this on; the authorities that many clusters made for themselves lack the key identifiers it asks
    # for, and every other Kubernetes client accepts them.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls

"""The hook's bearer tokens and its certificate, from files that are renewed while it runs.

Kubernetes swaps mounted Secrets, cert-manager renews certificates. The files are looked at with each request and each
TLS handshake, so rotation needs no restart. Files that become unusable (missing, half-written, a key that does not
match) change nothing; they are read again when they change again.
"""

import hmac
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from math import nan
from pathlib import Path
from typing import Annotated, Final, Generic, TypeVar

from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPBearer

from runtime.certificates import not_after

SHORTEST: Final = 16
"""Characters. A shorter token could be guessed."""

PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_SCHEME = HTTPBearer(auto_error=False, description="One of the tokens in ESO_TOKEN_FILE.")

logger = logging.getLogger(__name__)

T = TypeVar("T")


class UnusableFile(Exception):
    """The files cannot be used; the text names the file and says why."""


class Reloaded(Generic[T]):
    """Value that `read` returns for `paths`, read again when they change. `read` raises UnusableFile.

    `name` is for the log.
    """

    def __init__(self, name: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._name = name
        self._paths = paths
        self._read = read
        self._stamps = self._stamp()
        self._value = read()

    @property
    def value(self) -> T:
        """The newest that could be read."""
        stamps = self._stamp()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._value = self._read()
                logger.info("%s: read again", self._name)
            except UnusableFile as problem:
                logger.warning("%s: unchanged (%s)", self._name, problem)
        return self._value

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        """It differs if a file is another one, or was written to; None for a missing one."""
        return [_stat(path) for path in self._paths]


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Tokens:
    """The tokens of a file, each on a line of its own: a new one can be added before the old one is removed.

    Metacontroller reads its own only once.
    """

    def __init__(self, path: Path) -> None:
        self._digests = Reloaded("bearer tokens", [path], lambda: _digests(path))

    def accept(self, authorization: bytes) -> bool:
        """Whether this Authorization header carries one of them. Takes equally long whatever is wrong with it."""
        scheme, _, token = authorization.partition(b" ")
        digest = sha256(token.strip()).digest()
        found = False
        for accepted in self._digests.value:
            found |= hmac.compare_digest(digest, accepted)
        return found and scheme.lower() == b"bearer"


def bearer(tokens: Tokens) -> Callable[..., Awaitable[None]]:
    """A FastAPI dependency: a request without one of `tokens` gets a bare 401."""

    async def authenticate(request: Request, _: Annotated[object, Security(_SCHEME)]) -> None:
        given = request.headers.getlist("authorization")
        if len(given) == 1 and tokens.accept(given[0].encode("latin-1")):
            return
        raise HTTPException(401, "unauthorized", {"www-authenticate": "Bearer"})

    return authenticate


def _digests(path: Path) -> tuple[bytes, ...]:
    try:
        lines = path.read_bytes().split()
    except OSError as error:
        raise UnusableFile(f"{path}: {error.strerror}") from None
    if not lines:
        raise UnusableFile(f"{path}: there is no token in it: write one or more, each on a line of its own")
    if min(map(len, lines)) < SHORTEST:
        raise UnusableFile(f"{path}: a token is shorter than {SHORTEST} characters: write a longer random one")
    return tuple(sha256(line).digest() for line in lines)


class ServerTls:
    """`context` serves the newest certificate that could be read; open connections keep their certificate.

    The files are PEM. With `client_ca` only clients with a certificate signed by it get in (mutual TLS).
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        def read() -> tuple[ssl.SSLContext, float]:
            return _context(certificate, key, client_ca), _expiry(certificate)

        paths = [path for path in (certificate, key, client_ca) if path is not None]
        self._newest = Reloaded("certificate", paths, read)
        self.context = _context(certificate, key, client_ca)
        self.context.sni_callback = self._choose

    def expiry(self) -> float:
        """When the newest certificate that could be read expires, as a Unix time in seconds."""
        return self._newest.value[1]

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called with each handshake, also by clients that send no name."""
        connection.context = self._newest.value[0]


def _context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET  # a resumed session would outlive a client CA that is gone
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise UnusableFile(f"{certificate} with {key}: {_reason(error)}") from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise UnusableFile(f"{client_ca}: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no usable PEM ({error.reason or 'unreadable'})"
    return str(getattr(error, "strerror", None) or error)


def _expiry(certificate: Path) -> float:
    """When the first certificate of a PEM file expires, as a Unix time.

    NaN if that cannot be read: it is shown, and no reason to refuse a certificate that OpenSSL takes.
    """
    try:
        found = PEM.search(certificate.read_text(encoding="latin-1"))
        expiry = None if found is None else not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    except (OSError, ValueError):
        return nan
    return nan if expiry is None else expiry

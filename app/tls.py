"""The hook's certificate, from files that may be renewed while it runs, and whose client certificates it takes.

The files are looked at with each handshake. Unusable files (a key that does not match, half-written) change nothing;
they are read again when they change.
"""

import re
import ssl
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Final

from app.files import Reloaded, UnusableFile
from runtime.certificates import not_after

PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca` only clients with a certificate signed by it get in (mutual TLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are used."""
        return (self.certificate, self.key) if self.client_ca is None else (self.certificate, self.key, self.client_ca)


class ServerTls:
    """`context` serves the newest certificate that could be read; open connections keep their certificate."""

    def __init__(self, files: TlsFiles) -> None:
        self._newest = Reloaded("certificate", files.paths, lambda: (_context(files), _expiry(files.certificate)))
        self.context = _context(files)
        self.context.sni_callback = self._choose

    def expiry(self) -> float:
        """When the newest certificate that could be read expires, as a Unix time in seconds."""
        return self._newest.value[1]

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called with each handshake, also by clients that send no name."""
        connection.context = self._newest.value[0]


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET  # a resumed session would outlive a client CA that is gone
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise UnusableFile(f"{files.certificate} with {files.key}: {_reason(error)}") from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise UnusableFile(f"{files.client_ca}: {_reason(error)}") from None
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

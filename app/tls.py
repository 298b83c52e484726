"""The hook's certificate, from files that may be renewed while it runs, and whose client certificates it takes.

The files are looked at with each handshake. What cannot be read (a key that does not fit, half-written) changes nothing
and is tried again when the files change again.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from app.files import Stamp, stamp

logger = logging.getLogger(__name__)


class UnusableCertificate(Exception):
    """The files cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca` only clients with a certificate signed by it get in (mutual TLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that are used."""
        return (self.certificate, self.key) if self.client_ca is None else (self.certificate, self.key, self.client_ca)


class ServerTls:
    """`context` serves the newest certificate that could be read; connections that stand keep what they began with."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp: Stamp = stamp(files.paths)
        self._newest = _context(files)
        self.context = _context(files)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called with each handshake, also by clients that send no name."""
        self._refresh()
        connection.context = self._newest

    def _refresh(self) -> None:
        now = stamp(self._files.paths)
        if now == self._stamp:
            return
        self._stamp = now
        try:
            self._newest = _context(self._files)
            logger.info("the certificate has been read again")
        except UnusableCertificate as problem:
            logger.warning("the certificate stays what it was: %s", problem)


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET  # a resumed session would outlive a client CA that is gone
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise UnusableCertificate(f"{files.certificate} with {files.key}: {_reason(error)}") from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise UnusableCertificate(f"{files.client_ca}: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no usable PEM ({error.reason or 'unreadable'})"
    return str(getattr(error, "strerror", None) or error)

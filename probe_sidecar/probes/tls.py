"""TLS around another protocol, over memory buffers (docs/conformance.md, line 6; deviation D3).

Nothing is verified, as the kubelet verifies nothing: an expired or self-signed certificate passes. If the probe names a
CA, `verified` makes the context.
"""

import functools
import os
import re
import ssl
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import NamedTemporaryFile
from typing import Final

from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import Exchange, Hop, Step
from probe_sidecar.probes.outcome import Outcome, Result

HANDSHAKE_CAP: Final = 10.0
"""Seconds; the kubelet's transport gives up a handshake then, however long the probe's time-out (line 7)."""

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:DHE+AESGCM:DHE+AES:!aNULL:!eNULL"
"""Cipher suites that Go offers for TLS 1.2 (with the CBC suites of older servers), and finite-field DHE."""
_ANY_KEY_SIZE: Final = ":@SECLEVEL=1"
"""Without verification there is no reason to refuse a certificate for its key size."""

_RECORD: Final = 16_384

OpenInner = Callable[[], Exchange]

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_FORMATS: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
_BEFORE_VALIDITY: Final = 3
"""serialNumber, signature and issuer."""


@dataclass(slots=True, eq=False)
class Certificate:
    """Certificate of one target; `expires` is in Unix seconds, None before the first one."""

    expires: float | None = None


@functools.cache
def unverified() -> ssl.SSLContext:
    """The one context of all probes that verify and present nothing: TLS 1.2 or newer, h2 and http/1.1 offered."""
    return _unverified()


def _unverified() -> ssl.SSLContext:
    context = _context(_CIPHERS + _ANY_KEY_SIZE)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # as in Go
    context.set_ciphers(ciphers)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


NO_CA_CERTIFICATES = "holds no CA certificates in PEM form"


class BadCertificates(ValueError):
    """Not what a CA bundle or a client certificate must be; the text says which part of it, and nothing of a key."""


def verified(bundle: str) -> ssl.SSLContext:
    """A context that takes only certificates which lead to one of those in `bundle` (PEM). Raises BadCertificates.

    Each of them is an anchor, so that a server's own self-signed certificate will do for a bundle.
    """
    context = _context(_CIPHERS)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for line, pem in _certificates(bundle):
        try:
            context.load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError):
            raise BadCertificates(f"the certificate that begins in line {line} cannot be read") from None
    if not context.cert_store_stats()["x509"]:
        raise BadCertificates(NO_CA_CERTIFICATES)
    return context


def presenting(chain: bytes, key: bytes, *, bundle: str | None = None) -> ssl.SSLContext:
    """A context with a client certificate (PEM), for servers that request one. Raises BadCertificates.

    With a `bundle` it verifies the server as `verified` does, without one not at all. Client certificates do not depend
    on that: short keys are refused in either case.
    """
    context = _unverified() if bundle is None else verified(bundle)
    for one in (_context(_CIPHERS), context):
        try:
            with _file(chain) as certificate, _file(key) as private:
                one.load_cert_chain(certificate, private, password="")  # an encrypted key: no prompt, but an error
        except (ssl.SSLError, ValueError) as error:
            reason = _reason(error) if isinstance(error, ssl.SSLError) else "password"
            raise BadCertificates(
                f"tls.crt and tls.key are not a certificate and its unencrypted key in PEM form ({reason})"
            ) from None
    return context


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """The path of a file in memory: OpenSSL reads keys from files only, and a key is not for a disk."""
    if not hasattr(os, "memfd_create"):  # no Linux, so no Pod
        with NamedTemporaryFile(buffering=0) as file:
            file.write(content)
            yield file.name
        return
    memory = os.memfd_create("pem")
    try:
        os.write(memory, content)
        yield f"/proc/self/fd/{memory}"
    finally:
        os.close(memory)


_BEGIN = re.compile("-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----")


def _certificates(bundle: str) -> Iterator[tuple[int, str]]:
    """The line of each certificate and its PEM, one line of base64 a line. Text between them is a comment.

    Blank characters and missing line breaks around the markers do not matter: files are pasted together that way.
    """
    for begin in _BEGIN.finditer(bundle):
        line = bundle.count("\n", 0, begin.start()) + 1
        end = bundle.find(f"-----END {begin[1]}-----", begin.end())
        text = bundle[begin.end() : end]
        if end < 0 or "-----BEGIN" in text:
            raise BadCertificates(f"the certificate that begins in line {line} has no end")
        body = "\n".join(textwrap.wrap("".join(text.split()).encode("ascii", "replace").decode(), 64))
        yield line, f"{begin[0]}\n{body}\n-----END {begin[1]}-----\n"


class TlsExchange:
    """Shakes hands, opens the conversation of the protocol that the server chose, and carries its bytes."""

    __slots__ = ("_certificate", "_incoming", "_inner", "_object", "_outgoing", "_protocols")

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str | None,
        protocols: Mapping[str, OpenInner],
        certificate: Certificate,
    ) -> None:
        self._certificate = certificate
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._protocols = protocols
        self._inner: Exchange | None = None

    @property
    def phase(self) -> str:
        """The handshake, or whatever the conversation inside waits for."""
        return message.TLS_HANDSHAKE if self._inner is None else self._inner.phase

    def begin(self) -> Step:
        """The ClientHello."""
        return self._shake_hands()

    def feed(self, data: bytes) -> Step:
        """Records in; records out, or the result of the inner exchange."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        try:
            return self._shake_hands() if self._inner is None else self._read(self._inner)
        except ssl.SSLError as error:  # of sending: the peer has closed its side, or wants another handshake
            return _failed(error)

    def _shake_hands(self) -> Step:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read() or None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return Outcome(Result.FAILURE, message.handshake_failed("connection closed"))
        except ssl.SSLCertVerificationError as error:
            return Outcome(Result.FAILURE, message.certificate_refused(_verdict(error)))
        except ssl.SSLError as error:
            return Outcome(Result.FAILURE, message.handshake_failed(_reason(error)))
        self._certificate.expires = not_after(self._object.getpeercert(binary_form=True) or b"")
        inner = self._protocols[self._object.selected_alpn_protocol() or ""]()
        self._inner = inner
        return self._pass(inner, inner.begin())

    def _pass(self, inner: Exchange, step: Step) -> Step:
        if not isinstance(step, bytes):
            return step
        self._object.write(step)
        if self._incoming.pending or self._incoming.eof:
            return self._read(inner)
        return self._outgoing.read()  # nothing to decrypt yet, and an exception that says so is slow

    def _read(self, inner: Exchange) -> Step:
        """Feed what has been decrypted until that runs dry; a peer that leaves without close_notify has finished."""
        while True:
            try:
                data = self._object.read(_RECORD)
            except ssl.SSLWantReadError:
                return self._outgoing.read() or None
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                data = b""
            except ssl.SSLError as error:
                return _failed(error)
            step = inner.feed(data)
            if isinstance(step, bytes):
                self._object.write(step)
            elif step is not None:
                return step
            elif not data:
                raise AssertionError("an exchange must end at the end of its input")


def hop(
    inner: Hop,
    context: ssl.SSLContext,
    server_name: str | None,
    protocols: Mapping[str, OpenInner],
    certificate: Certificate | None = None,
) -> Hop:
    """`inner`'s address, with TLS. `protocols` maps each ALPN name, and "" for none chosen, to its conversation.

    `certificate` receives the server's certificate, also an expired one if nothing is verified.
    """
    opened = functools.partial(TlsExchange, context, server_name, protocols, certificate or Certificate())
    return Hop(inner.address, opened, handshake=HANDSHAKE_CAP)


def _failed(error: ssl.SSLError) -> Outcome:
    return Outcome(Result.FAILURE, message.tls_failed(_reason(error)))


def _verdict(error: ssl.SSLCertVerificationError) -> str:
    """OpenSSL's own words ("certificate has expired"); the only name in them is the requested one.

    The first letter is written small, unless it is one of an abbreviation: "EE certificate key too weak".
    """
    text = error.verify_message.removesuffix(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's own words for it ("WRONG_VERSION_NUMBER"); they hold nothing of what the peer sent."""
    return (error.reason or "unknown reason").lower().replace("_", " ")


@functools.lru_cache(maxsize=256)
def not_after(der: bytes) -> float | None:
    """The end of a certificate's validity in Unix seconds, from its DER (RFC 5280, 4.1); None for what is none.

    Python's ssl reads verified ones only.
    """
    try:
        body = _enter(_enter(der, _SEQUENCE), _SEQUENCE)
        if body[0] == _VERSION:
            body = _element(body)[2]
        for _ in range(_BEFORE_VALIDITY):
            body = _element(body)[2]
        _, _, rest = _element(_enter(body, _SEQUENCE))
        tag, text, _ = _element(rest)
        return datetime.strptime(text.decode("ascii"), _FORMATS[tag]).replace(tzinfo=UTC).timestamp()
    except (ValueError, IndexError, KeyError):
        return None


def _enter(data: bytes, wanted: int) -> bytes:
    tag, content, _ = _element(data)
    if tag != wanted:
        raise ValueError
    return content


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows. Raises ValueError or IndexError for what is cut short."""
    start, length = 2, data[1]
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError
    return data[0], data[start : start + length], data[start + length :]

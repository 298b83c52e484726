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
from tempfile import NamedTemporaryFile
from typing import Final

from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import Hop, Malformed, Reading, SocketAddress, Step
from runtime.certificates import not_after

HANDSHAKE_CAP: Final = 10.0
"""Seconds; the kubelet's transport gives up a handshake then, however long the probe's time-out (line 7)."""

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:DHE+AESGCM:DHE+AES:!aNULL:!eNULL"
"""Cipher suites that Go offers for TLS 1.2 (with the CBC suites of older servers), and finite-field DHE."""
_ANY_KEY_SIZE: Final = ":@SECLEVEL=1"
"""Without verification there is no reason to refuse a certificate for its key size."""

_RECORD: Final = 16_384

OpenInner = Callable[[], Reading[Step]]


@dataclass(slots=True, eq=False)
class Certificate:
    """Certificate of one target; `expires` is in Unix seconds, None before the first one."""

    expires: float | None = None


def _unverified() -> ssl.SSLContext:
    context = _context(_CIPHERS + _ANY_KEY_SIZE)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


unverified = functools.cache(_unverified)
"""The one context of all probes that verify and present nothing: TLS 1.2 or newer, h2 and http/1.1 offered."""


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


def presenting(chain: bytes, key: bytes, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """`context` with a client certificate (PEM), for servers that request one. Raises BadCertificates.

    Without a context it is one that verifies nothing. Client certificates do not depend on that: short keys are refused
    in either case.
    """
    context = context or _unverified()
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


def _read(
    context: ssl.SSLContext,
    server_name: str | None,
    protocols: Mapping[str, OpenInner],
    certificate: Certificate,
) -> Reading[Step]:
    """Shakes hands, opens the conversation of the protocol that the server chose, and carries its bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    while (wrong := _shake_hands(connection)) is None:
        _write(incoming, (yield message.TLS_HANDSHAKE, outgoing.read()))
    if wrong:
        raise Malformed(wrong)
    certificate.expires = not_after(connection.getpeercert(binary_form=True) or b"")
    inner = protocols.get(connection.selected_alpn_protocol() or "")
    if inner is None:
        raise Malformed(message.NO_ALPN)
    try:
        return (yield from _carry(inner(), connection, incoming, outgoing))
    except ssl.SSLError as error:
        raise Malformed(message.tls_failed(_reason(error))) from None


def _shake_hands(connection: ssl.SSLObject) -> str | None:
    """Problem of the handshake, empty once it is done; None: the peer has to continue."""
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return None
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return message.handshake_failed("connection closed")
    except ssl.SSLCertVerificationError as error:
        return message.certificate_refused(_verdict(error))
    except ssl.SSLError as error:
        return message.handshake_failed(_reason(error))
    return ""


def _carry(
    inner: Reading[Step], connection: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
) -> Reading[Step]:
    """The conversation inside. Raises SSLError: the peer has closed its side, or wants another handshake."""
    try:
        phase, sending = next(inner)
        while True:
            if sending:
                connection.write(sending)
            while (data := _decrypted(connection, incoming)) is None:
                _write(incoming, (yield phase, outgoing.read()))
            phase, sending = inner.send(data)
    except StopIteration as end:
        step: Step = end.value
        return step


def _decrypted(connection: ssl.SSLObject, incoming: ssl.MemoryBIO) -> bytes | None:
    """Bytes from the peer, empty once it has finished, with close_notify or without; None: nothing yet.

    A read takes a whole record, so nothing is left of it where `incoming` is empty.
    """
    if not incoming.pending and not incoming.eof:
        return None  # the exception that says so is slow
    try:
        return connection.read(_RECORD)
    except ssl.SSLWantReadError:
        return None
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return b""


def _write(incoming: ssl.MemoryBIO, data: bytes) -> None:
    if data:
        incoming.write(data)
    else:
        incoming.write_eof()


def hop(
    address: SocketAddress,
    context: ssl.SSLContext,
    server_name: str | None,
    protocols: Mapping[str, OpenInner],
    certificate: Certificate | None = None,
) -> Hop:
    """`address`, with TLS. `protocols` maps each ALPN name that will do, and "" for none chosen, to its conversation.

    `certificate` receives the server's certificate, also an expired one if nothing is verified.
    """
    opened = functools.partial(_read, context, server_name, protocols, certificate or Certificate())
    return Hop(address, opened, handshake=HANDSHAKE_CAP)


def _verdict(error: ssl.SSLCertVerificationError) -> str:
    """OpenSSL's own words ("certificate has expired"); the only name in them is the requested one.

    The first letter is written small, unless it is one of an abbreviation: "EE certificate key too weak".
    """
    text = error.verify_message.removesuffix(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's own words for it ("WRONG_VERSION_NUMBER"); they hold nothing of what the peer sent."""
    return (error.reason or "unknown reason").lower().replace("_", " ")

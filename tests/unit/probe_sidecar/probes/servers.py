"""Scripted servers on loopback: each connection is a script on a thread of its own, so that a test reads in order."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from playground.backends import Http2Server

Script = Callable[[socket.socket], bytes]
"""Serves one connection and returns what it read. The connection is closed behind it."""


class Server:
    """Each connection gets the next script; the last script is used for all further ones."""

    def __init__(self, *scripts: Script, ip: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._context = context
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self._listener = socket.create_server((ip, 0), family=family, backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._received: dict[int, bytes] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def requests(self) -> list[bytes]:
        """Bytes read on each connection, in the order of the connections: their threads end in any order."""
        return [read for _, read in sorted(self._received.copy().items())]

    def close(self) -> None:
        """Accept no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            threading.Thread(target=self._serve, args=(self.connections, connection, script), daemon=True).start()

    def _serve(self, number: int, connection: socket.socket, script: Script) -> None:
        connection.settimeout(20)
        with suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._received[number] = script(connection)
        connection.close()


def read_head(connection: socket.socket) -> bytes:
    """Up to the blank line that ends a request without body, or the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (data := connection.recv(65_536)):
        head += data
    return head


def hold(connection: socket.socket) -> None:
    """Wait until the client leaves."""
    while connection.recv(65_536):
        pass


def over_http2(answer: Callable[[Http2Server, int], None]) -> Script:
    """HTTP/2 by an independent implementation; `answer` responds to one stream."""

    def script(connection: socket.socket) -> bytes:
        server = Http2Server()
        while data := connection.recv(65_536):
            for stream in server.feed(data):
                answer(server, stream)
            connection.sendall(server.to_send())
        return b""

    return script


def says(*pieces: bytes, gap: float = 0.0, stay: bool = False, at_once: bool = False) -> Script:
    """Read a request, or `at_once` what is sent first, send the pieces with `gap` seconds between, then close or `stay`
    until the client leaves.
    """

    def script(connection: socket.socket) -> bytes:
        head = connection.recv(65_536) if at_once else read_head(connection)
        for number, piece in enumerate(pieces):
            time.sleep(gap if number else 0)
            connection.sendall(piece)
        if stay:
            hold(connection)
        return head

    return script


def silent(connection: socket.socket) -> bytes:
    """Read and never answer."""
    head = read_head(connection)
    hold(connection)
    return head


def half_closes(connection: socket.socket) -> bytes:
    """A response that ends with FIN, on a connection that stays half open."""
    head = read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")
    connection.shutdown(socket.SHUT_WR)
    hold(connection)
    return head


def resets(connection: socket.socket) -> bytes:
    """Read the request, then RST."""
    head = read_head(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return head


def resets_at_once(connection: socket.socket) -> bytes:
    """RST, as soon as there is a connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return b""


def server_context(
    folder: Path, *names: str, expired: bool = False, key: rsa.RSAPrivateKey | None = None
) -> ssl.SSLContext:
    """A TLS server's context with a fresh self-signed certificate."""
    private, now = key or ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    end = now + timedelta(days=-1 if expired else 1)
    built = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(known) for known in names]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{names[0]}.pem"
    path.write_bytes(secret + built.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if key is not None:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(path)
    return context


def bundle(folder: Path, name: str) -> str:
    """The certificate that `server_context` has made for `name`."""
    text = (folder / f"{name}.pem").read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]

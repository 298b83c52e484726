"""Targets: servers in separate processes, on every address of 127.0.0.0/8, and black holes.

python -m bench.targets https|grpc      prints its port and serves until its stdin ends (http and tcp: peers/target.c)
"""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import build

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 3\r\nConnection: close\r\nCache-Control: no-store\r\n\r\nok\n"
)


def addresses(count: int, first: int = 0) -> list[str]:
    """`count` loopback addresses, none of them twice, from the `first` one on."""
    return [f"127.{1 + n // 62_500 % 120}.{n // 250 % 250}.{1 + n % 250}" for n in range(first, first + count)]


@contextmanager
def serving(kind: str) -> Iterator[int]:
    """The port of a server of this kind that lets every probe succeed."""
    made = [str(build.c("target"))] if kind in ("http", "tcp") else [sys.executable, "-m", "bench.targets", kind]
    with subprocess.Popen(made, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            line = server.stdout.readline()
            if not line:
                raise SystemExit(f"the {kind} server did not come up")
            yield int(line)
        finally:
            server.stdin.close()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port on every address that does not respond to a SYN: its accept queue is full."""
    with socket.socket() as hole:
        hole.bind(("0.0.0.0", 0))
        hole.listen(0)
        port = hole.getsockname()[1]
        stuffing = [socket.socket() for _ in range(4)]
        for one in stuffing:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(("127.0.0.1", port))
        try:
            yield port
        finally:
            for one in stuffing:
                one.close()


def _listen() -> socket.socket:
    server = socket.socket()
    server.bind(("0.0.0.0", 0))
    server.listen(4096)
    return server


def _certificate(folder: Path) -> tuple[Path, Path]:
    from cryptography import x509  # noqa: PLC0415 - a development package
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = unsigned.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    signed = dated.sign(key, hashes.SHA256())
    (folder / "crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "crt", folder / "key"


async def _serve_tls() -> None:
    """HTTP/1.1 over TLS 1.3, a P-256 certificate, and no tickets, so that no session is resumed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*_certificate(Path(folder)))
    context.num_tickets = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(RESPONSE)
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(answer, sock=_listen(), ssl=context) as running:
        print(running.sockets[0].getsockname()[1], flush=True)
        await until_stdin_ends()


async def until_stdin_ends() -> None:
    """The parent has closed the pipe, or is gone."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


def _serve_grpc() -> None:
    """grpcio's own health service."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    import grpc  # noqa: PLC0415 - a development package
    from grpc_health.v1 import health, health_pb2_grpc  # noqa: PLC0415

    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    print(server.add_insecure_port("0.0.0.0:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    if sys.argv[1:] == ["https"]:
        asyncio.run(_serve_tls())
    elif sys.argv[1:] == ["grpc"]:
        _serve_grpc()
    else:
        raise SystemExit(__doc__)
    sys.stdout.flush()
    os._exit(0)  # open connections may be cut

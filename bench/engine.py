"""CPU a probe of the bare engine (user + sys of this process) against a small server in another process on loopback.

    python -m bench.engine [--kind http tcp https grpc] [--flights 100 | --period 10 --targets 1000] [--duration 5]
                           [--loop asyncio|uvloop] [--poller epoll|loop] [--peer PATH] [--repeat 1] [--json]

`--peer` names the binary built from bench/peers/kubelet (`go build`); it is then run between our own runs on the same
server, and the table shows the ratio.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import resource
import selectors
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from app.api.core import Probe
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.outcome import Outcome
from probe_sidecar.probes.poller import LoopPoller, best_poller
from probe_sidecar.probes.prepare import PreparedProbe, prepare

KINDS = ("http", "tcp", "https", "grpc")
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 3\r\nConnection: close\r\nCache-Control: no-store\r\n\r\nok\n"
)
TICK = 0.01


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed P-256 certificate, as (certificate, key) files."""
    from cryptography import x509  # noqa: PLC0415 - not in the measured process
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - not in the measured process
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - not in the measured process

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


def listen() -> socket.socket:
    """On every IPv4 loopback address, at a free port."""
    server = socket.create_server(("127.0.0.1", 0), backlog=4096, reuse_port=False)
    port = server.getsockname()[1]
    server.close()
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", port))
    server.listen(4096)
    return server


def serve_plain(server: socket.socket) -> None:
    """Answer every connection that sends something, close those that only come and go (http, tcp)."""
    server.setblocking(False)
    selector = selectors.EpollSelector()
    selector.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is server:
                with suppress(BlockingIOError):
                    for _ in range(64):
                        client, _ = server.accept()
                        selector.register(client, selectors.EVENT_READ)
            else:
                client = key.fileobj  # type: ignore[assignment] # only sockets are registered
                selector.unregister(client)
                with suppress(OSError):
                    if client.recv(4096):
                        client.send(RESPONSE)
                client.close()


async def serve_tls(server: socket.socket, folder: Path) -> None:
    """HTTP/1.1 over TLS 1.3, without session tickets of any use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder))
    context.num_tickets = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(RESPONSE)
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(answer, sock=server, ssl=context) as running:
        await running.serve_forever()


def serve_grpc(port: int) -> None:
    """grpcio's own health service."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not in the measured process

    import grpc  # noqa: PLC0415 - not in the measured process
    from grpc_health.v1 import health, health_pb2_grpc  # noqa: PLC0415 - not in the measured process

    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


def serve(kind: str, server: socket.socket, folder: Path) -> None:
    """The child process."""
    if kind == "https":
        asyncio.run(serve_tls(server, folder))
    elif kind == "grpc":
        port = server.getsockname()[1]
        server.close()
        serve_grpc(port)
    else:
        serve_plain(server)


def probe_of(kind: str, port: int) -> dict[str, Any]:
    """The probe, as in a Pod."""
    handlers: dict[str, dict[str, Any]] = {
        "http": {"httpGet": {"port": port, "path": "/"}},
        "https": {"httpGet": {"port": port, "path": "/", "scheme": "HTTPS"}},
        "tcp": {"tcpSocket": {"port": port}},
        "grpc": {"grpc": {"port": port}},
    }
    return {**handlers[kind], "timeoutSeconds": 1}


def cpu() -> float:
    """Seconds of user and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_megabytes() -> float:
    """VmHWM; ru_maxrss would begin with that of the process which started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Tally:
    """What came of the probes."""

    def __init__(self) -> None:
        self.probes = 0
        self.failed = 0
        self.late: list[float] = []
        self.messages: set[str] = set()

    def note(self, outcome: Outcome, seconds: float) -> None:
        """A probe's end."""
        del seconds
        self.probes += 1
        if not outcome.success:
            self.failed += 1
            self.messages.add(outcome.message)


async def closed_loop(engine: ProbeEngine, targets: list[PreparedProbe], flights: int, until: float) -> Tally:
    """`flights` probes at any time, the next as soon as one ends."""
    tally, finished, turn = Tally(), asyncio.Event(), iter(range(sys.maxsize))

    def done(outcome: Outcome, seconds: float) -> None:
        tally.note(outcome, seconds)
        if monotonic() < until:
            engine.start(targets[next(turn) % len(targets)], done)
        elif not engine.in_flight:
            finished.set()

    for _ in range(flights):
        engine.start(targets[next(turn) % len(targets)], done)
    await finished.wait()
    return tally


async def paced(engine: ProbeEngine, targets: list[PreparedProbe], period: float, until: float) -> Tally:
    """Each target once a period, spread evenly, started on ticks."""
    tally, began = Tally(), monotonic()
    due = [began + period * random.random() for _ in targets]
    order = sorted(range(len(targets)), key=due.__getitem__)
    at, lap = 0, 0
    while (now := monotonic()) < until:
        while due[order[at]] + lap * period <= now:
            tally.late.append(now - due[order[at]] - lap * period)
            engine.start(targets[order[at]], tally.note)
            at, lap = (at + 1, lap) if at + 1 < len(order) else (0, lap + 1)
        await asyncio.sleep(TICK - (now - began) % TICK)
    while engine.in_flight:  # noqa: ASYNC110 - the engine tells nobody when it is idle
        await asyncio.sleep(TICK)
    return tally


async def measure(options: argparse.Namespace, probe: dict[str, Any], ips: list[str]) -> dict[str, Any]:
    """One run of ours."""
    poller = LoopPoller if options.poller == "loop" else best_poller
    engine = ProbeEngine(asyncio.get_running_loop(), poller=poller)
    model = Probe.model_validate(probe)
    targets = [prepare(model, ip) for ip in ips]
    began, before = monotonic(), cpu()
    until = began + options.duration
    if options.period:
        tally = await paced(engine, targets, options.period, until)
    else:
        tally = await closed_loop(engine, targets, options.flights, until)
    used, wall = cpu() - before, monotonic() - began
    engine.close()
    late = sorted(tally.late) or [0.0]
    quantiles = {"p50": late[len(late) // 2], "p99": late[int(len(late) * 0.99)], "max": late[-1]}
    return {
        "peer": "ours",
        "probes": tally.probes,
        "failed": tally.failed,
        "messages": sorted(tally.messages),
        "seconds": wall,
        "cpuMicroseconds": used / tally.probes * 1e6,
        "probesPerSecond": tally.probes / wall,
        "megabytes": peak_megabytes(),
        "lateMilliseconds": {name: value * 1e3 for name, value in quantiles.items()},
        "awaySeconds": engine.away,
    }


def measure_apart(options: argparse.Namespace, probe: dict[str, Any], ips: list[str]) -> dict[str, Any]:
    """In a fresh process, so that nothing of another run is counted."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run_measure, (options, probe, ips))


def run_measure(options: argparse.Namespace, probe: dict[str, Any], ips: list[str]) -> dict[str, Any]:
    """The fresh process's work."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if options.loop == "uvloop":
        import uvloop  # noqa: PLC0415 - not in the measured process

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(measure(options, probe, ips))


def measure_peer(options: argparse.Namespace, probe: dict[str, Any], ips: list[str]) -> dict[str, Any]:
    """One run of the kubelet's packages."""
    pace = ["-period", f"{options.period}s"] if options.period else ["-flights", str(options.flights)]
    command = [options.peer, "bench", "-probe", json.dumps(probe), "-ips", ",".join(ips), *pace]
    command += ["-duration", f"{options.duration}s"]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def wait_for(port: int) -> None:
    """Until the server listens."""
    until = monotonic() + 20
    while monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise SystemExit("the server did not come up")


def run_kind(kind: str, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """Ours and the peer's runs of one kind, interleaved."""
    ips = [f"127.{1 + n // 62_500 % 250}.{n // 250 % 250}.{1 + n % 250}" for n in range(options.targets)]
    with tempfile.TemporaryDirectory() as folder:
        server = listen()
        port = server.getsockname()[1]
        child = multiprocessing.get_context("fork").Process(
            target=serve, args=(kind, server, Path(folder)), daemon=True
        )
        child.start()
        server.close()
        try:
            wait_for(port)
            for _ in range(options.repeat):
                yield {"kind": kind, **measure_apart(options, probe_of(kind, port), ips)}
                if options.peer:
                    yield {"kind": kind, **measure_peer(options, probe_of(kind, port), ips)}
        finally:
            child.terminate()
            child.join()


def table(runs: list[dict[str, Any]]) -> str:
    """Medians by kind and peer."""
    lines = [f"{'kind':6} {'peer':8} {'CPU us':>8} {'probes/s':>9} {'failed':>7} {'late p50/p99/max ms':>22} {'MB':>6}"]
    for kind in dict.fromkeys(run["kind"] for run in runs):
        medians = {}
        for peer in dict.fromkeys(run["peer"] for run in runs):
            own = [run for run in runs if run["kind"] == kind and run["peer"] == peer]
            medians[peer] = statistics.median(run["cpuMicroseconds"] for run in own)
            lines.append(row(kind, peer, own))
        if len(medians) == 2:
            lines.append(f"{kind:6} {'ratio':8} {medians['ours'] / medians['kubelet']:8.2f}")
    return "\n".join(lines)


def row(kind: str, peer: str, runs: list[dict[str, Any]]) -> str:
    """One line of the table."""

    def median(value: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(value(run) for run in runs)

    late = "/".join(
        f"{statistics.median(run['lateMilliseconds'][name] for run in runs):.1f}" for name in ("p50", "p99", "max")
    )
    return (
        f"{kind:6} {peer:8} {median(lambda run: run['cpuMicroseconds']):8.1f} "
        f"{median(lambda run: run['probesPerSecond']):9.0f} {sum(run['failed'] for run in runs):7} "
        f"{late:>22} {median(lambda run: run['megabytes']):6.0f}"
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--flights", type=int, default=100)
    parser.add_argument("--period", type=float, default=0.0)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--duration", type=float, default=5.0)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--poller", choices=("epoll", "loop"), default="epoll")
    parser.add_argument("--peer", type=os.path.abspath)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = [run for kind in options.kind for run in run_kind(kind, options)]
    print(json.dumps(runs, indent=1) if options.json else table(runs))
    for text in sorted({text for run in runs for text in run.get("messages", ())}):
        print("failed:", text, file=sys.stderr)


if __name__ == "__main__":
    main()

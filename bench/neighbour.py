"""Cost of one tenant for another: `python -m bench.neighbour [ROW...] [--count 1 20 200] [--each] [--check]`.

The whole sidecar with a Lease, against the stand-in API server. Tenant B (namespace b) has 50 healthy addresses with
period 1 s and failureThreshold 3; tenant A (namespace a) has as many hostile ones as --count says. A row is a behaviour
of A; rows of protocols mix their behaviours of tests/hostile/peers.py, and --each makes a row of each of them. Five
addresses of B end right after a probe; how much later than without A their death is in the stored status is measured.

The loop is blocked for as long as a timer of bench/heartbeat.py is late; blocked_cpu_ms is the CPU time that the
process used in that time, its own part beside other work on the machine. `starved` is the share of the time in which it
was ready to run but the machine had no processor for it: above STARVED a run says nothing and is made again, at most
--tries times. --check exits with 1 if a bound is exceeded, or if no run of a row could be used.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

import certifi
from tabulate import tabulate

from bench import targets
from bench.report import machine
from bench.sidecar import Plan, Process, Sample, known, sidecar
from playground.apiserver.server import FakeApiServer
from tests.hostile import test_dns
from tests.hostile.peers import HEAD, HTTP, HTTPS, PEERS, Peer, Peers, of

Object = dict[str, Any]

ADDRESSES: Final = 50
EACH: Final = 5
"""Addresses of an ExternalService of B."""
DEATHS: Final = 5
FAILURES: Final = 3
"""B's failureThreshold. Its period is a second, so a death is found so many seconds after the last success."""
SETTLE_SECONDS: Final = 4.0
WINDOW_SECONDS: Final = 6.0
LONGEST_SECONDS: Final = 15.0
STARVED: Final = 0.1
FIRST_OF_A: Final = 10_000
SCRAPES: Final = 20
SCRAPE_SECONDS: Final = 0.1
UNDISTURBED: Final = "undisturbed"
PLAN: Final = Plan(ADDRESSES // EACH, EACH, 1, WINDOW_SECONDS, leases=True)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run. `probes` is B's share of the expected number, `late` seconds after the third failure was due."""

    row: str
    count: int
    probes: float
    blocked_cpu_ms: float
    blocked_ms: float
    late: float
    leases_lost: int
    megabytes: float
    cores: float
    starved: float

    def exceeded(self, base: "Figures") -> list[str]:
        """The bounds that it does not keep, beside the undisturbed run."""
        bounds = {
            "probes": abs(self.probes - 1) <= 0.05,
            "blocked": self.blocked_cpu_ms <= 50,
            "death": self.late - base.late <= 0.5,
            "Lease": self.leases_lost == 0,
            "memory": self.megabytes - base.megabytes <= 20,
        }
        return [name for name, kept in bounds.items() if not kept] + ["starved"] * (self.starved > STARVED)


@dataclass(frozen=True, slots=True)
class Row:
    """A behaviour of tenant A: which peers are to be served, and the ExternalServices for so many addresses.

    The ports are by the peer's name. `every_second` does something to the API objects once a second.
    """

    peers: tuple[Peer, ...]
    objects: Callable[[int, Mapping[str, int]], Iterator[Object]]
    every_second: Callable[[FakeApiServer, int], None] | None = None


def manifest(namespace: str, name: str, ips: list[str], probe: Object, **spec: Any) -> Object:
    """An ExternalService."""
    return {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"port": 80, "ips": ips, "readinessProbe": probe, **spec},
    }


def hostile(number: int, ips: list[str], peer: Peer, port: int, *, timeout: int = 1, **spec: Any) -> Object:
    """One of A, which is probed as often as may be."""
    ((kind, action),) = peer.probe.items()
    timing = {"periodSeconds": 1, "timeoutSeconds": timeout, "failureThreshold": 1}
    return manifest("a", f"a-{number}", ips, {kind: {**action, "port": port}, **timing}, **spec)


def split(rows: tuple[Peer, ...]) -> Row:
    """The peers in turn: ten addresses an ExternalService if there is one behaviour, else one."""
    each = 10 if len(rows) == 1 else 1

    def objects(count: int, ports: Mapping[str, int]) -> Iterator[Object]:
        ips = targets.addresses(count, FIRST_OF_A)
        for number, peer in zip(range(0, count, each), cycle(_spread(rows, count)), strict=False):
            yield hostile(number, ips[number : number + each], peer, ports[peer.name])

    return Row(rows, objects)


def _spread(rows: tuple[Peer, ...], count: int) -> list[Peer]:
    """Where there are fewer addresses than behaviours: those at equal distances."""
    return [rows[at * len(rows) // count] for at in range(count)] if count < len(rows) else list(rows)


def alone(peer: Peer, *, each: int, timeout: int = 1, ca: bool = False) -> Row:
    """One behaviour, with so many addresses an ExternalService."""

    def objects(count: int, ports: Mapping[str, int]) -> Iterator[Object]:
        ips = targets.addresses(count, FIRST_OF_A)
        for number in range(0, count, each):
            made = hostile(number, ips[number : number + each], peer, ports[peer.name], timeout=timeout)
            if ca:
                made["spec"]["readinessProbe"]["httpGet"]["tls"] = {"caConfigMap": {"name": f"ca-{number}", "key": "k"}}
            yield made

    return Row((peer,), objects)


def edited(peer: Peer) -> Row:
    """Five times as many addresses, 1,000 at most, in one ExternalService whose probe is edited each second."""

    def objects(count: int, ports: Mapping[str, int]) -> Iterator[Object]:
        made = hostile(0, targets.addresses(5 * count, FIRST_OF_A), peer, ports[peer.name])
        made["spec"]["readinessProbe"]["periodSeconds"] = 60
        yield made

    def edit(server: FakeApiServer, second: int) -> None:
        key = server.resource("ExternalService").key
        found = server.storage.items(key, "a")
        old = found[second % len(found)]
        metadata = {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
        probe = {**old["spec"]["readinessProbe"], "failureThreshold": 1 + second % 2}
        server.storage.put(key, {**old, "metadata": metadata, "spec": {**old["spec"], "readinessProbe": probe}})

    return Row((peer,), objects, edit)


@cache
def _many_fields() -> Object:
    """Built for the first object: not at the import, which every server of the bench does too."""
    return {f"f:{number}": {"f:a": {}, ".": {}} for number in range(40_000)}


def large(peer: Peer) -> Row:
    """Objects with 1.2 MB of managedFields, at most 4; one of them is written every 5 s.

    With 20 of them the loop of the stand-in itself was blocked, nine times in 15 s for 0.9 to 2.4 s.
    """

    def fill(server: FakeApiServer, second: int) -> None:
        if second % 5:
            return
        key = server.resource("ExternalService").key
        found = server.storage.items(key, "a")[:4]
        for old in found if second == 0 else [found[second % len(found)]]:
            managed = [{"manager": str(second), "operation": "Update", "fieldsV1": _many_fields()}]
            server.storage.put(key, {**old, "metadata": {**old["metadata"], "managedFields": managed}})

    return Row((peer,), alone(peer, each=10).objects, fill)


def authorities(peer: Peer) -> Row:
    """An ExternalService for each address, each with all CAs of a browser in a ConfigMap of its own."""

    def fill(server: FakeApiServer, second: int) -> None:
        if second:
            return
        for number, _ in enumerate(server.storage.items(server.resource("ExternalService").key, "a")):
            metadata = {"namespace": "a", "name": f"ca-{number}"}
            data = {"k": f"{number}\n{certifi.contents()}"}
            server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    return Row((peer,), alone(peer, each=1, ca=True).objects, fill)


def named(dns: str) -> Row:
    """As many hostnames as the count says, 16 an ExternalService, resolved by a hostile DNS server."""
    row = Peer(f"dns {dns}", HTTP, of(HEAD), "")

    def objects(count: int, ports: Mapping[str, int]) -> Iterator[Object]:
        for number in range(0, count, 16):
            names = [f"n{at}.example.com" for at in range(number, min(number + 16, count))]
            yield hostile(number, [], row, ports[row.name], hostnames=names)

    return Row((row,), objects)


ANSWERS = of(HEAD + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
FLAPS = Peer(
    "flaps",
    HTTP,
    lambda _: (b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (200 + 303 * (int(time()) % 2)),),
    "",
    "close",
)
HEALTHY = Peer("healthy", HTTP, ANSWERS, "", "close")
SILENT = Peer("silence", HTTP, of(), "")
VERIFIED = Peer("verified", HTTPS, ANSWERS, "", "close", tls=())
DNS: Mapping[str, Callable[[bytes], bytes]] = {
    "dns large": test_dns.response(b"".join(map(test_dns.a, range(4_000))), 4_000),
    "dns lasts not": test_dns.response(b"".join(test_dns.a(ip, ttl=0) for ip in range(60)), 60),
    "dns without a response": lambda _: b"",
}

ROWS: dict[str, Row] = {
    "mixed": split(PEERS),
    **{
        family: split(tuple(peer for peer in PEERS if peer.name.startswith(f"{family} ")))
        for family in ("http1", "http2", "grpc", "tls")
    },
    "flaps": alone(FLAPS, each=1),
    "flaps in one object": alone(FLAPS, each=1_000),
    "long time-outs": alone(SILENT, each=10, timeout=86_400),
    "CA references": alone(VERIFIED, each=1, ca=True),
    "large CAs": authorities(VERIFIED),
    "edits": edited(HEALTHY),
    "large objects": large(HEALTHY),
    **{name: named(name.removeprefix("dns ")) for name in DNS},
}
BY_NAME = {peer.name: peer for row in ROWS.values() for peer in row.peers}


# The servers, in processes of their own.


async def serve_hostile(names: list[str]) -> None:
    """Print the ports of these peers as JSON, and serve until the standard input ends.

    With low priority: elsewhere they are other machines.
    """
    os.nice(19)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # connections that the prober has left
    with tempfile.TemporaryDirectory() as folder:
        served, ports = Peers(Path(folder), ip="0.0.0.0"), dict[str, int]()
        for name in names:
            ports[name] = await (_serve_dns(DNS[name]) if name in DNS else served.serve(BY_NAME[name]))
        print(json.dumps(ports), flush=True)
        await targets.until_stdin_ends()
        os._exit(0)


async def _serve_dns(answer: Callable[[bytes], bytes]) -> int:
    made = test_dns.Server(answer)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    small = test_dns.response(b"", 0, flags=0x8380) if len(answer(bytes(40))) > 512 else answer  # go on by TCP
    await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: test_dns.Server(small), local_addr=("127.0.0.1", port)
    )
    return port


async def serve_healthy(ips: list[str]) -> None:
    """Print the port; end the addresses that the standard input names, each right after a response, and print when."""
    servers, ending, port = dict[str, asyncio.Server](), set[str](), 0

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            ip = writer.get_extra_info("sockname")[0]
            if ip in ending:
                ending.discard(ip)
                servers[ip].close()
                print(json.dumps([ip, monotonic()]), flush=True)
            writer.write(targets.RESPONSE)
            writer.close()

    for ip in ips:
        servers[ip] = await asyncio.start_server(respond, ip, port)
        port = servers[ip].sockets[0].getsockname()[1]
    print(json.dumps(port), flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        ending.add(line.decode().strip())


@asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    """One of the servers, and the first line of its output."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.neighbour", *arguments, stdin=pipe, stdout=pipe
    )
    try:
        yield process, json.loads(await asyncio.wait_for(_line(process), 60))
    finally:
        process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


# One run.


def ips_of_b() -> list[str]:
    """Fifty addresses."""
    return targets.addresses(ADDRESSES)


def create(server: FakeApiServer, row: Row | None, count: int, port: int, ports: Mapping[str, int]) -> None:
    """B's objects with the status of an earlier sidecar, and A's without one."""
    key, ips = server.resource("ExternalService").key, ips_of_b()
    timing = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": FAILURES}
    probe = {"httpGet": {"path": "/", "port": port}, **timing}
    for number in range(ADDRESSES // EACH):
        made = server.create(manifest("b", f"b-{number}", ips[number * EACH : (number + 1) * EACH], probe))
        server.storage.put(key, {**made, "status": known(made, ready=True)})
    for made in row.objects(count, ports) if row is not None else ():
        server.create(made)


async def deaths(server: FakeApiServer, healthy: asyncio.subprocess.Process) -> list[float]:
    """End the first address of some of B's ExternalServices; how late each death was stored."""
    assert healthy.stdin is not None
    victims = {ips_of_b()[number * EACH]: f"b-{number}" for number in range(DEATHS)}
    healthy.stdin.write("".join(f"{ip}\n" for ip in victims).encode())
    when, stored, until = dict[str, float](), dict[str, float](), monotonic() + LONGEST_SECONDS
    ended = asyncio.create_task(_note_ends(healthy, when))
    while victims.keys() - stored.keys() and monotonic() < until:
        for ip in victims.keys() - stored.keys():
            found = server.get("ExternalService", "b", victims[ip]) or {}
            if {"ip": ip, "ready": False} in [
                {"ip": one["ip"], "ready": one["ready"]} for one in found["status"]["addresses"]
            ]:
                stored[ip] = monotonic()
        await asyncio.sleep(0.01)
    ended.cancel()
    return [stored[ip] - when[ip] - FAILURES if ip in stored else LONGEST_SECONDS for ip in victims]


async def _note_ends(healthy: asyncio.subprocess.Process, when: dict[str, float]) -> None:
    while line := await _line(healthy):
        ip, at = json.loads(line)
        when[ip] = at


async def measure(name: str, count: int) -> Figures:
    """One run of one row."""
    row = ROWS.get(name) or (split((BY_NAME[name],)) if name != UNDISTURBED else None)
    names = [peer.name for peer in row.peers] if row is not None else []
    with tempfile.TemporaryDirectory() as folder:
        beats = Path(folder) / "beats"
        async with (
            child("--serve-healthy") as (healthy, port),
            child("--serve", *names) as (_, ports),
            FakeApiServer(loopback=True) as server,
        ):
            create(server, row, count, port, ports)
            settings = dict[str, str]()
            if names and names[0] in DNS:
                settings["ESO_DNS_SERVERS"] = f"127.0.0.1:{ports[names[0]]}"
            command = ("-m", "bench.heartbeat", str(beats))
            running = sidecar(server, PLAN, command=command, settings=settings)
            async with running as process, asyncio.TaskGroup() as group:
                acting = group.create_task(_act(server, row))
                await asyncio.sleep(SETTLE_SECONDS)
                before, waited = await _sample(process), _waited(process)
                late = await deaths(server, healthy)
                await asyncio.sleep(before.at + WINDOW_SECONDS - monotonic())
                after = await _sample(process)
                megabytes, waited = process.megabytes("VmHWM"), _waited(process) - waited
                acting.cancel()
        blocked = [(late, cpu) for at, late, cpu in _beats(beats) if before.at <= at <= after.at]
    return Figures(
        name,
        count,
        round(_probes(before, after), 3),
        round(max((min(both) for both in blocked), default=0.0) * 1e3, 1),
        round(max((wall for wall, _ in blocked), default=0.0) * 1e3, 1),
        round(max(late), 2),
        process.leases_lost,
        round(megabytes, 1),
        round((after.cpu - before.cpu) / (after.at - before.at), 2),
        round(waited / (after.at - before.at), 2),
    )


async def _sample(process: Process) -> Sample:
    """A scrape that was answered at once: the stand-in API server in this process may delay the request."""
    for _ in range(SCRAPES):
        sample = await process.sample()
        if monotonic() - sample.at <= SCRAPE_SECONDS:
            break
    return sample


def _waited(process: Process) -> float:
    """Seconds in which its main thread was ready but not running."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9


def usable(name: str, count: int, tries: int) -> Figures:
    """A run that was not starved, or else the last one of so many tries."""
    for _ in range(tries):
        run = asyncio.run(measure(name, count))
        if run.starved <= STARVED:
            break
    return run


async def _act(server: FakeApiServer, row: Row | None) -> None:
    for second in range(1_000):
        if row is None or row.every_second is None:
            return
        row.every_second(server, second)
        await asyncio.sleep(1)


def _beats(file: Path) -> Iterator[tuple[float, float, float]]:
    for line in file.read_text().splitlines():
        at, late, cpu = map(float, line.split())
        yield at, late, cpu


def _probes(before: Sample, after: Sample) -> float:
    made = after.total("eso_probe_total", "namespace=b,") - before.total("eso_probe_total", "namespace=b,")
    return made / (ADDRESSES * (after.at - before.at))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="; ".join(ROWS))
    parser.add_argument("--count", type=int, nargs="+", default=[1, 20, 200], help="hostile addresses of A")
    parser.add_argument("--each", action="store_true", help="a row for each hostile behaviour too")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a bound is exceeded")
    parser.add_argument("--tries", type=int, default=3, help="runs of a row while the machine is busy")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--serve-healthy", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_healthy:
        asyncio.run(serve_healthy(ips_of_b()))
        return 0
    if options.serve is not None:
        asyncio.run(serve_hostile(options.serve))
        return 0
    names = options.rows or list(ROWS)
    names += [peer.name for peer in PEERS] if options.each else []
    runs = [usable(UNDISTURBED, 0, options.tries) for _ in range(3)]
    base = Figures(
        **{
            **asdict(runs[0]),
            "late": statistics.median(run.late for run in runs),
            "megabytes": statistics.median(run.megabytes for run in runs),
        }
    )
    for name in names:
        for count in options.count:
            runs.append(usable(name, count, options.tries))
            print(runs[-1], file=sys.stderr, flush=True)
    figures = [{**asdict(run), "exceeds": ", ".join(run.exceeded(base))} for run in runs]
    if options.json:
        print(json.dumps({"machine": machine(), "figures": figures}, indent=1))
    else:
        print(tabulate(figures, headers="keys"))
    return int(options.check and any(run.exceeded(base) for run in runs))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench ROW...`: what a probe and a sync cost, beside what others pay for the same; docs/performance.md.

    python -m bench                          the rows there are
    python -m bench http paced --repeat 5    medians of five runs, ours and the peers' in turn
    python -m bench short                    a glance at everything, in some two minutes; judges nothing
    python -m bench all --json > bench.json

Peers are built into .cache/bench when first asked for: C with cc, Go modules with go. Everything runs on loopback.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from bench import build, hook, report, sidecar, targets


class Load(NamedTuple):
    """Pattern of a row: a closed loop of `flights`, once in `period` seconds, or all targets at once."""

    kind: str
    peers: tuple[str, ...]
    targets: int = 100
    flights: int = 100
    period: int = 0
    once: bool = False
    tick: int = 10


ENGINE = {
    "http": Load("http", ("kubelet", "blackbox", "floor")),
    "tcp": Load("tcp", ("kubelet", "blackbox", "floor")),
    "https": Load("https", ("kubelet", "blackbox")),
    "grpc": Load("grpc", ("kubelet", "blackbox")),
    "paced": Load("http", ("kubelet", "kubelet-1", "blackbox", "floor"), targets=10_000, period=10),
    "paced-exact": Load("http", ("kubelet",), targets=10_000, period=10, tick=0),
    "burst": Load("http", ("kubelet", "floor"), targets=4_000, once=True),
}
"""The bare engine. `kubelet-1` is the kubelet's packages with GOMAXPROCS=1."""

BESIDE = {
    "sidecar": Load("http", ("kubelet", "kubelet-1"), targets=10_000, period=10),
    "sidecar-exact": Load("http", ("kubelet",), targets=10_000, period=10),
}
"""The peers' probes of the same addresses, in turn with a whole sidecar that is started again each time."""

WHOLE: dict[str, Callable[[argparse.Namespace], Iterator[report.Run]]] = {**sidecar.ROWS, **hook.ROWS}
COUNT_SECONDS = 300
ROWS = {**dict.fromkeys(ENGINE, "the bare engine"), **{name: (row.__doc__ or "") for name, row in WHOLE.items()}}


def probe_of(kind: str, port: int) -> dict[str, Any]:
    """The probe, as in a Pod."""
    handlers: dict[str, dict[str, Any]] = {
        "http": {"httpGet": {"port": port, "path": "/"}},
        "https": {"httpGet": {"port": port, "path": "/", "scheme": "HTTPS"}},
        "tcp": {"tcpSocket": {"port": port}},
        "grpc": {"grpc": {"port": port}},
    }
    return {**handlers[kind], "timeoutSeconds": 1}


def command(peer: str, load: Load, port: int) -> list[str]:
    """The program of a peer, and what names the probe; raises CannotBuild."""
    probe = ["-probe", json.dumps(probe_of(load.kind, port))]
    if peer == "ours":
        return [sys.executable, "-m", "bench.engine", *probe, "-tick", str(load.tick)]
    if peer == "floor":
        return [str(build.c("floor")), "-kind", load.kind, "-port", str(port)]
    if peer == "blackbox":
        return [str(build.go("blackbox")), "-kind", load.kind, "-port", str(port)]
    one_core = ["env", "GOMAXPROCS=1"] if peer == "kubelet-1" else []
    return [*one_core, str(build.go("kubelet")), "bench", *probe]


def run_engine(row: str, options: argparse.Namespace) -> Iterator[report.Run]:
    """Ours and each peer's runs of one row, in turn."""
    load = ENGINE[row]
    with targets.serving(load.kind) as port:
        for _ in range(options.repeat):
            yield from run_each(row, ("ours", *load.peers), load, port, options)


def run_beside(row: str, options: argparse.Namespace) -> Iterator[report.Run]:
    """A whole sidecar, and what peers do for the same addresses, in turn."""
    load, once = BESIDE[row], argparse.Namespace(**{**vars(options), "repeat": 1})
    for _ in range(options.repeat):
        yield from WHOLE[row](once)
        with targets.serving(load.kind) as port:
            yield from run_each(row, load.peers, load, port, options)


def run_each(
    row: str, peers: Iterable[str], load: Load, port: int, options: argparse.Namespace
) -> Iterator[report.Run]:
    """One run of each."""
    ips = "\n".join(targets.addresses(load.targets)) + "\n"
    pace = ["-once"] if load.once else ["-period", str(load.period)] if load.period else ["-flights", str(load.flights)]
    for peer in (peer for peer in peers if peer not in options.without):
        try:
            program = command(peer, load, port)
        except build.CannotBuild as problem:
            print(f"left out: {problem}", file=sys.stderr)
            continue
        arguments = [*program, *pace, "-duration", str(max(options.duration, load.period))]
        done = subprocess.run(arguments, input=ips, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{row}, {peer}: {done.stderr.strip()[-400:]}", file=sys.stderr)
            continue
        yield {**json.loads(done.stdout), "row": row, "peer": peer}


def chosen(options: argparse.Namespace) -> Iterator[report.Run]:
    """All runs of the rows asked for."""
    for row in options.rows:
        print(f"{row} ...", file=sys.stderr)
        if row in ENGINE:
            yield from run_engine(row, options)
        else:
            yield from run_beside(row, options) if row in BESIDE else WHOLE[row](options)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="; ".join(ROWS))
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; medians are shown")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of each run (a period at least)")
    parser.add_argument("--without", nargs="*", default=(), metavar="PEER", help="peers to leave out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.rows:
        print("\n".join(f"{name:16} {text}" for name, text in ROWS.items()))
        return 0
    short = options.rows == ["short"]
    if short:
        options.rows, options.duration = ["http", "tcp", "https", "grpc", "sidecar-short", "hook"], 2.0
        options.without = [name for name in ("blackbox", "kubelet") if not build.built(name)]
    elif options.rows == ["all"]:
        options.rows = [name for name in ROWS if not name.endswith("-short")]
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    runs = list(chosen(options))
    print(json.dumps(report.document(runs), indent=1) if options.json else report.table(runs))
    if short:
        count_instructions()
    return 0


def count_instructions() -> None:
    """Of an HTTP probe, where there is valgrind, beside those of an earlier version."""
    if shutil.which("valgrind") is None:
        print("instructions left out: there is no valgrind on this machine", file=sys.stderr)
        return
    command = [sys.executable, "-m", "bench.instructions", "--kinds", "http"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COUNT_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"instructions left out: not counted within {COUNT_SECONDS} s on this busy machine", file=sys.stderr)
    else:
        print(f"instructions a probe: {done.stderr.strip()[-400:]}")


if __name__ == "__main__":
    sys.exit(main())

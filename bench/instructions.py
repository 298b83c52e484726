"""`python -m bench.instructions`: instructions that a probe takes in user space, counted by valgrind's callgrind.

They repeat to a few tenths of a percent where times do not, so a change of the hot path shows at once. The count is the
difference of two runs, which takes out the start of the process and of each target. The kernel's share is not in it.
Those of an earlier version are in instructions.json, which `--keep` replaces.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from bench import build, targets
from bench.__main__ import probe_of

TARGETS, FEW, MANY = 50, 2, 22
KINDS = ("http", "tcp")
PEERS: dict[str, list[str]] = {"ours": [], "prober": ["-managed"], "floor": []}
"""The bare engine; the engine with schedule and thresholds; the floor in C."""
KEPT = Path(__file__).with_name("instructions.json")


def program(peer: str, kind: str, port: int) -> list[str]:
    """One of PEERS. Under valgrind everything is slow, so the time-out is a long one."""
    if peer == "floor":
        return [str(build.c("floor")), "-kind", kind, "-port", str(port)]
    probe = {**probe_of(kind, port), "timeoutSeconds": 300}
    return [sys.executable, "-m", "bench.engine", "-probe", json.dumps(probe), *PEERS[peer]]


def counted(command: list[str], laps: int) -> int:
    """Instructions of the whole process that probes TARGETS addresses so many times."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command, "-once", "-laps", str(laps)]
    ips = "\n".join(targets.addresses(TARGETS)) + "\n"
    done = subprocess.run(valgrind, input=ips, capture_output=True, text=True, check=False, timeout=300)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found or json.loads(done.stdout)["failed"]:
        raise SystemExit(f"{command[0]}: {done.stderr.strip()[-400:]} {done.stdout.strip()[-400:]}")
    return int(found[1])


def count(kind: str, peer: str) -> int:
    """Instructions a probe."""
    with targets.serving(kind) as port:
        command = program(peer, kind, port)
        return round((counted(command, MANY) - counted(command, FEW)) / (MANY - FEW) / TARGETS)


def told(found: dict[str, int]) -> str:
    """Each count, and how many times what was kept it is."""
    kept = json.loads(KEPT.read_text())["instructionsPerProbe"]
    beside = {name: f" ({number / kept[name]:.3f} x kept)" if name in kept else "" for name, number in found.items()}
    return ", ".join(f"{name} {number:,}{beside[name]}" for name, number in found.items())


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", default=["ours", "prober"], choices=PEERS)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--keep", action="store_true", help="write them to instructions.json")
    options = parser.parse_args()
    found = {f"{kind} {peer}": count(kind, peer) for kind in options.kinds for peer in options.peers}
    text = json.dumps({"instructionsPerProbe": found, "python": sys.version.split()[0]}, indent=1)
    print(text)
    print(told(found), file=sys.stderr)
    if options.keep:
        KEPT.write_text(text + "\n")


if __name__ == "__main__":
    main()

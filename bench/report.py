"""Runs into medians and ratios: a table for people, one JSON document for machines. Pure, but for `machine`
and `cpu_seconds`.
"""

import os
import platform
import ssl
import statistics
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Run = dict[str, Any]
"""One run: `row`, `peer`, `cpuMicroseconds` (user + sys of the whole process, a probe or a request), and more."""

PACKAGES = ("fastapi", "uvicorn", "uvloop", "pydantic", "orjson", "httpx")
HEADERS = ("row", "who", "CPU us", "ratio", "a second", "failed", "late p50/p99/max ms", "MB", "")


def document(runs: list[Run]) -> dict[str, Any]:
    """Everything, with where and with what it was measured."""
    return {"machine": machine(), "medians": list(map(list, rows(runs))), "columns": HEADERS, "runs": runs}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """Versions, processor, load."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
    ]
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "openssl": ssl.OPENSSL_VERSION,
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
        **{name: version(name) for name in PACKAGES},
    }


def rows(runs: Iterable[Run]) -> list[tuple[str, ...]]:
    """One for each row and peer: medians, and our CPU as a share of that peer's."""
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run["row"], run["peer"]), []).append(run)
    cost = {key: _median(own, lambda run: run["cpuMicroseconds"]) for key, own in grouped.items()}
    return [_row(key, own, cost) for key, own in grouped.items()]


def table(runs: list[Run]) -> str:
    """For the terminal."""
    lines = [HEADERS, *rows(runs)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADERS))]
    placed = [
        "  ".join(_place(cell, width, at) for at, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    told = machine()
    versions = f"Linux {told['kernel']}, Python {told['python']}, load {told['load']}"
    return "\n".join([*placed, f"{told['processor']}, {told['cores']} cores, {versions}"])


def _place(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 2 or column == len(HEADERS) - 1 else cell.rjust(width)


def _row(key: tuple[str, str], own: list[Run], cost: dict[tuple[str, str], float]) -> tuple[str, ...]:
    row, peer = key
    ours = cost.get((row, "ours"))
    return (
        row,
        peer,
        f"{cost[key]:.1f}",
        f"{ours / cost[key]:.2f}" if ours and peer != "ours" else "",
        f"{_median(own, lambda run: run.get('probesPerSecond', 0)):.0f}",
        f"{sum(run.get('failed', 0) for run in own):.0f}",
        _lateness(own) if all("lateMilliseconds" in run for run in own) else "",
        f"{_median(own, lambda run: run.get('megabytes', 0)):.0f}",
        str(own[-1].get("told", "")),
    )


def _lateness(own: list[Run]) -> str:
    parts = ([run["lateMilliseconds"][name] for run in own] for name in ("p50", "p99", "max"))
    return "/".join(f"{statistics.median(part):.1f}" for part in parts)


def _median(runs: list[Run], value: Callable[[Run], float]) -> float:
    return statistics.median(value(run) for run in runs)

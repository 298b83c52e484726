"""What a snapshot says, in words and plain lines. Pure."""

from collections.abc import Mapping
from typing import Any

from playground.snapshot import AddressRow, Snapshot


def plain(now: Snapshot) -> list[str]:
    """All of it in lines, one for each ExternalService and address."""
    lines = []
    for parent in now.parents:
        children = "; ".join(f"{kind}: {word}" for kind, word in parent.children.items())
        lines.append(f"{parent.name}  {parent.ready}/{parent.addresses} ready  {parent.summary}  {children}")
        lines += [
            f"  {row.ip} -> {row.connects_to} ({row.backend})  {state(row)}  {row.reason}: {row.message}  "
            f"last probe: {last_probe(row.last_probe)}  failures: {row.failures}  Endpoints: {row.published}"
            for row in now.addresses
            if row.parent == parent.name
        ]
    return [*lines, *now.problems, totals(now)]


def state(row: AddressRow) -> str:
    """Ready or not."""
    return "ready" if row.ready else "not ready"


def last_probe(probe: Mapping[str, Any] | None) -> str:
    """The latest result of an address."""
    if probe is None:
        return "none yet"
    return f"{probe['message']}, {probe['durationSeconds'] * 1000:.1f} ms, {probe['ageSeconds']:.0f} s ago"


def totals(now: Snapshot) -> str:
    """What everything has cost so far."""
    writes = ", ".join(f"{actor} {count}" for actor, count in now.writes.items())
    calm = f"; none for {now.calm_seconds:.0f} s" if sum(now.writes.values()) else ""
    return f"API writes so far: {writes}{calm}.  Probes: {now.probes}.  Calls of the hook: {now.syncs}."

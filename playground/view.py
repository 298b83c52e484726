"""How a snapshot looks: a live picture by rich, or plain lines. Pure but for rich's types."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from playground.journal import Entry
from playground.snapshot import AddressRow, Snapshot

KEYS = "↑↓ choose  k kill  r revive  s slow  e 500  t stall  x restart the sidecar  q quit"
SHOWN_EVENTS = 10
SHOWN_ADDRESSES = 24


def live(now: Snapshot, entries: Sequence[Entry], selected: int, kubeconfig: str) -> RenderableType:
    """The whole picture; the address at `selected` is the one that keys act on."""
    events = "\n".join(str(entry) for entry in list(entries)[-SHOWN_EVENTS:])
    return Group(
        _parents(now),
        _addresses(now.addresses, selected),
        Text(_summary(now)),
        *(Text(problem, style="red") for problem in now.problems),
        Panel(Text(events), title="lately", title_align="left"),
        Text(f"export KUBECONFIG={kubeconfig}", style="dim"),
        Text(KEYS, style="bold"),
    )


def plain(now: Snapshot) -> list[str]:
    """The same in lines, one for each ExternalService and address."""
    lines = []
    for parent in now.parents:
        children = "; ".join(f"{kind}: {word}" for kind, word in parent.children.items())
        lines.append(f"{parent.name}  ready {parent.ready or '-'}  {children}")
    for row in now.addresses:
        ready = "ready" if row.ready else "not ready"
        lines.append(
            f"  {row.ip} -> {row.connects_to} ({row.backend})  {ready}  {row.reason}: {row.message}  "
            f"last probe: {row.last_probe}  failures: {row.failures}  Endpoints: {row.published}"
        )
    return [*lines, *now.problems, _summary(now)]


def _summary(now: Snapshot) -> str:
    writes = ", ".join(f"{actor} {count}" for actor, count in now.writes.items())
    calm = f"; none for {now.calm_seconds:.0f} s" if sum(now.writes.values()) else ""
    return f"API writes so far: {writes}{calm}.  Probes: {now.probes}.  Calls of the hook: {now.syncs}."


def _parents(now: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("EXTERNALSERVICE", "READY", "SERVICE", "ENDPOINTS", "INGRESS"):
        table.add_column(name)
    for parent in now.parents:
        table.add_row(parent.name, parent.ready, *parent.children.values())
    return table


def _addresses(rows: Sequence[AddressRow], selected: int) -> Text:
    """Two lines an address: where it stands, and the evidence."""
    text = Text(_line("ADDRESS", "PLAYED BY", "BACKEND", "STATE", "FAILURES", "ENDPOINTS"), style="bold", no_wrap=True)
    first = max(0, min(selected - SHOWN_ADDRESSES // 2, len(rows) - SHOWN_ADDRESSES))
    for number, row in list(enumerate(rows))[first : first + SHOWN_ADDRESSES]:
        state, colour = ("ready", "green") if row.ready else ("not ready", "red")
        mark = "▶" if number == selected else " "
        line = _line(row.ip, row.connects_to, row.backend, state, str(row.failures), row.published)
        text.append(mark + line[1:], style=f"not bold {colour}")
        text.append(f"    {row.reason}: {row.message}; last probe: {row.last_probe}\n", style="not bold dim")
    return text


def _line(*words: str) -> str:
    widths = (24, 17, 9, 11, 10, 9)
    return "  " + "".join(word.ljust(width) for word, width in zip(words, widths, strict=True)) + "\n"

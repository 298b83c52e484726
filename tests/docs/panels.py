"""A dashboard as SVG: the panels where Grafana would put them, with series that somebody else asked for. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Object = dict[str, Any]
Point = tuple[float, float]

COLUMN, ROW, GAP = 50, 30, 8
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#f2495c", "#37872d", "#8ab8ff")
READY, NOT_READY = "#37872d", "#e02f44"
MOST_LEGENDS = 6
STYLE = """text{font-family:Inter,Helvetica,Arial,sans-serif;fill:#ccccdc;font-size:11px}
.title{font-size:13px;font-weight:600}.row{font-size:15px}.stat{font-size:30px;font-weight:600;fill:#73bf69}
.axis{fill:#8e8e9a;font-size:10px}.panel{fill:#181b1f;stroke:#2c3235}"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One series: its legend, its labels, its points (Unix seconds, value)."""

    legend: str
    labels: dict[str, str]
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Box:
    """Where something is drawn, in pixels."""

    x: float
    y: float
    width: float
    height: float


def draw(board: Object, answers: Sequence[Sequence[Answer]]) -> str:
    """The whole picture; `answers` in the order of the dashboard's panels."""
    panels = board["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW + GAP
    width = 24 * COLUMN + GAP
    parts = [_panel(panel, found) for panel, found in zip(panels, answers, strict=True)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#111217"/>{"".join(parts)}</svg>\n'
    )


def _panel(panel: Object, answers: Sequence[Answer]) -> str:
    at = panel["gridPos"]
    box = Box(at["x"] * COLUMN + GAP, at["y"] * ROW + GAP, at["w"] * COLUMN - GAP, at["h"] * ROW - GAP)
    if panel["type"] == "row":
        return _text(box.x, box.y + 18, f"▾ {panel['title']}", "row")
    frame = f'<rect class="panel" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="3"/>'
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    inside = Box(box.x + 10, box.y + 28, box.width - 20, box.height - 36)
    draw_kind = {"stat": _stat, "state-timeline": _timeline, "table": _table}.get(panel["type"], _series)
    return frame + _text(box.x + 10, box.y + 18, panel["title"], "title") + draw_kind(inside, answers, unit)


def _stat(box: Box, answers: Sequence[Answer], unit: str) -> str:
    shown = _number(answers[0].points[-1][1], unit) if answers else "No data"
    return _text(box.x + box.width / 2, box.y + 42, shown, "stat", 'text-anchor="middle"')


def _timeline(box: Box, answers: Sequence[Answer], _unit: str) -> str:
    """A bar for each series; its colour is the value."""
    begin, end = _span(answers)
    names = 290.0
    scale = (box.width - names) / (end - begin)
    height = min(44.0, (box.height - 20) / max(1, len(answers)))
    parts = []
    for number, answer in enumerate(answers):
        y = box.y + number * height
        parts.append(_text(box.x, y + height / 2 + 4, answer.legend))
        for at, value, until in _runs(answer.points, end):
            colour, x, width = READY if value else NOT_READY, box.x + names + (at - begin) * scale, (until - at) * scale
            parts.append(
                f'<rect x="{x:.1f}" y="{y + 4:.1f}" width="{width:.1f}" height="{height - 8:.1f}" fill="{colour}"/>'
            )
    return "".join(parts) + _seconds(Box(box.x + names, box.y, box.width - names, box.height - 14), begin, end)


def _runs(points: Sequence[Point], end: float) -> list[tuple[float, float, float]]:
    """(from, value, until) for each run of equal values."""
    starts = [point for number, point in enumerate(points) if number == 0 or points[number - 1][1] != point[1]]
    ends = [at for at, _ in starts[1:]] + [end]
    return [(at, value, until) for (at, value), until in zip(starts, ends, strict=True)]


def _series(box: Box, answers: Sequence[Answer], unit: str) -> str:
    shown = [answer for answer in answers if any(math.isfinite(value) for _, value in answer.points)]
    if not shown:
        return _text(box.x + box.width / 2, box.y + box.height / 2, "No data", "axis", 'text-anchor="middle"')
    begin, end = _span(answers)
    top = max(value for answer in shown for _, value in answer.points if math.isfinite(value)) * 1.05 or 1.0
    legends = min(len(shown), MOST_LEGENDS)
    plot = Box(box.x + 52, box.y, box.width - 52, box.height - 30 - 14 * math.ceil(legends / 2))
    parts = [_grid(plot, top, unit), _seconds(plot, begin, end)]
    for number, answer in enumerate(shown):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(_line(plot, answer.points, begin, end, top, colour))
        if number < MOST_LEGENDS:
            x, y = box.x + (number % 2) * box.width / 2, plot.y + plot.height + 28 + 14 * (number // 2)
            parts.append(f'<rect x="{x:.1f}" y="{y - 5:.1f}" width="12" height="3" fill="{colour}"/>')
            parts.append(_text(x + 17, y, answer.legend or "value"))
    return "".join(parts)


def _line(plot: Box, points: Sequence[Point], begin: float, end: float, top: float, colour: str) -> str:
    placed = [
        f"{plot.x + (at - begin) / (end - begin) * plot.width:.1f},{plot.y + plot.height * (1 - value / top):.1f}"
        for at, value in points
        if math.isfinite(value)
    ]
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{" ".join(placed)}"/>'


def _grid(plot: Box, top: float, unit: str) -> str:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = plot.y + plot.height * (1 - share)
        parts.append(f'<path d="M{plot.x} {y:.1f}h{plot.width}" stroke="#2c3235"/>')
        parts.append(_text(plot.x - 6, y + 4, _number(top / 1.05 * share, unit), "axis", 'text-anchor="end"'))
    return "".join(parts)


def _seconds(plot: Box, begin: float, end: float) -> str:
    y = plot.y + plot.height + 12
    marks = range(0, int(end - begin) + 1, 20)
    return "".join(
        _text(plot.x + mark / (end - begin) * plot.width, y, f"{mark} s", "axis", 'text-anchor="middle"')
        for mark in marks
    )


def _table(box: Box, answers: Sequence[Answer], _unit: str) -> str:
    names = sorted({name for answer in answers for name in answer.labels})
    rows = [names, *([answer.labels.get(name, "") for name in names] for answer in answers)]
    return "".join(
        _text(box.x + column * box.width / max(1, len(names)), box.y + 18 + 20 * number, cell, "" if number else "axis")
        for number, row in enumerate(rows)
        for column, cell in enumerate(row)
    )


def _span(answers: Sequence[Answer]) -> tuple[float, float]:
    times = [at for answer in answers for at, _ in answer.points]
    return (min(times), max(times)) if len(set(times)) > 1 else (0.0, 1.0)


def _number(value: float, unit: str) -> str:
    """As Grafana's units of the same names have it, roughly."""
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
    return f"{value:.3g}" + ("/s" if unit == "ops" else "")


def _text(x: float, y: float, text: str, kind: str = "", more: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named} {more}>{escape(text)}</text>'

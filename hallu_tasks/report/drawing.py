"""The forest plot as SVG for the page, whose style sheet gives the colours of both its schemes."""

from __future__ import annotations

from html import escape

from hallu_tasks.report import cells, forest
from hallu_tasks.report.forest import Panel, Point

__all__ = ["svg"]

WIDTH = 340
_LINE, _TOP, _BOTTOM = 22, 6, 36
_LETTER = 6.4  # width of a letter of the labels
_MOST_LETTERS = 20


def svg(panel: Panel) -> str:
    """One panel with the arms' names at its left; readers of the page hear its title and its differences."""
    longest = max(min(len(point.arm), _MOST_LETTERS) for point in panel.points)
    left = round(longest * _LETTER + 12)
    bottom = _TOP + _LINE * len(panel.points)
    height = bottom + _BOTTOM

    def x(value: float) -> float:
        return round(left + (value - panel.low) / (panel.high - panel.low) * (WIDTH - left - 10), 2)

    told = "; ".join(f"{point.arm} {_told(point)}" for point in panel.points)
    parts = [
        f'<svg class="forest" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(told)}">',
        *_better(panel, x(panel.low), x(0), x(panel.high), bottom),
        f'<path class="axis" d="M{x(panel.low)} {bottom}H{x(panel.high)}"/>',
    ]
    for tick in panel.ticks:
        parts.append(f'<path class="axis" d="M{x(tick)} {bottom}v4"/>')
        parts.append(f'<text class="tick" x="{x(tick)}" y="{bottom + 15}">{forest.tick_text(tick)}</text>')
    parts.append(f'<path class="zero" d="M{x(0)} {_TOP}V{bottom}"/>')
    for row, point in enumerate(panel.points):
        y = _TOP + _LINE * row + _LINE // 2
        shown = point.arm if len(point.arm) <= _MOST_LETTERS else f"{point.arm[: _MOST_LETTERS - 1]}…"
        parts.append(f'<text class="arm" x="{left - 8}" y="{y + 4}">{escape(shown)}</text>')
        if point.difference is None:
            parts.append(f'<text class="tick" x="{x(0) + 16}" y="{y + 4}">N/A</text>')
            continue
        kind = (point.side or "undefined").replace(" ", "-")
        tip = f"<title>{escape(point.arm)} {escape(_told(point))}</title>"
        line = "" if point.interval is None else f'<path d="M{x(point.interval[0])} {y}H{x(point.interval[1])}"/>'
        parts.append(f'<g class="{kind}">{tip}{line}<circle cx="{x(point.difference)}" cy="{y}" r="4"/></g>')
    return "".join([*parts, "</svg>"])


def _better(panel: Panel, low: float, zero: float, high: float, bottom: int) -> list[str]:
    if panel.better is None:
        return []
    start, end = (zero, high) if panel.better == "higher" else (low, zero)
    at, anchor, text = (high, "end", "better →") if panel.better == "higher" else (low, "start", "← better")
    return [
        f'<rect class="gain" x="{start}" y="{_TOP}" width="{round(end - start, 2)}" height="{bottom - _TOP}"/>',
        f'<text class="gain" x="{at}" y="{bottom + 31}" text-anchor="{anchor}">{text}</text>',
    ]


def _told(point: Point) -> str:
    if point.difference is None:
        return "N/A"
    ends = "" if point.interval is None else f" {cells.interval(point.interval)}"
    sign = "+" if round(point.difference, 1) > 0 else ""
    return f"{sign}{cells.number(point.difference)}{ends}, {point.verdict or 'N/A'}"

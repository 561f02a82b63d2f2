"""The picture of saying less as SVG for the page, whose style sheet gives the colours of both its schemes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from hallu_tasks.report import cells, forest, frontier
from hallu_tasks.report.frontier import Panel, Point
from hallu_tasks.report.labels import Box, along, placed

__all__ = ["key", "svg"]

WIDTH, HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 8, 40
_LETTER, _LINE = 6.6, 13.0
"""Width and height of a letter of the labels."""


def svg(panel: Panel, numbered: bool) -> str:
    """One panel, its points called by name or `numbered`; readers of the page hear the differences."""
    told = "; ".join(_told(panel, point) for point in panel.points)
    parts = [
        f'<svg class="frontier" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told)}">',
        *_axes(panel),
        *_curve(panel),
        *_labels(panel, numbered),
        *(_point(panel, point) for point in panel.points),
    ]
    return "".join([*parts, "</svg>"])


def key(arms: Sequence[str]) -> str:
    """What the numbers stand for; `arms` without the baseline."""
    return f'<ol class="arms">{"".join(f"<li>{escape(arm)}</li>" for arm in arms)}</ol>'


def _at(panel: Panel, recall: float, chair_i: float) -> tuple[float, float]:
    x = _LEFT + (recall - panel.x[0]) / (panel.x[1] - panel.x[0]) * (WIDTH - _LEFT - _RIGHT)
    y = _TOP + (panel.y[1] - chair_i) / (panel.y[1] - panel.y[0]) * (HEIGHT - _TOP - _BOTTOM)
    return round(x, 1), round(y, 1)


def _axes(panel: Panel) -> Iterator[str]:
    bottom = HEIGHT - _BOTTOM
    yield f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{WIDTH - _RIGHT}"/>'
    for tick in panel.x_ticks:
        x, _ = _at(panel, tick, panel.y[0])
        yield f'<path class="axis" d="M{x} {bottom}v4"/>'
        yield f'<text class="tick" x="{x}" y="{bottom + 16}" text-anchor="middle">{forest.tick_text(tick)}</text>'
    for tick in panel.y_ticks:
        _, y = _at(panel, panel.x[0], tick)
        yield f'<path class="axis" d="M{_LEFT} {y}h-4"/>'
        yield f'<text class="tick" x="{_LEFT - 7}" y="{y + 4}" text-anchor="end">{forest.tick_text(tick)}</text>'
    middle = (_TOP + bottom) / 2
    yield f'<text class="tick" x="{(_LEFT + WIDTH) / 2}" y="{HEIGHT - 5}" text-anchor="middle">recall (%)</text>'
    yield (
        f'<text class="tick" x="11" y="{middle}" text-anchor="middle" transform="rotate(-90 11 {middle})">'
        "CHAIR_i (%)</text>"
    )
    yield f'<text class="gain" x="{WIDTH - _RIGHT}" y="{HEIGHT - 5}" text-anchor="end">right and below: better ↘</text>'


def _curve(panel: Panel) -> Iterator[str]:
    over = [_at(panel, one.recall, one.high) for one in panel.curve]
    under = [_at(panel, one.recall, one.low) for one in reversed(panel.curve)]
    yield f'<path class="band" d="M{"L".join(f"{x} {y}" for x, y in (*over, *under))}Z"/>'
    line = [_at(panel, one.recall, one.chair_i) for one in panel.curve]
    yield f'<path class="cuts" d="M{"L".join(f"{x} {y}" for x, y in line)}"/>'
    for one, (x, y) in zip(panel.curve, line):
        if one.mentions:
            scores = f"recall {cells.number(one.recall)}, CHAIR_i {cells.number(one.chair_i)}"
            tip = f"<title>cut after {one.mentions} mentions: {scores}</title>"
            yield f'<g class="cut">{tip}<circle cx="{x}" cy="{y}" r="2.5"/></g>'
    x, y = _at(panel, panel.whole.recall, panel.whole.chair_i)
    yield f'<g class="whole"><title>{escape(panel.baseline)}, whole captions</title>'
    yield f'<path d="M{x} {y - 7}L{x + 6} {y}L{x} {y + 7}L{x - 6} {y}Z"/></g>'


def _point(panel: Panel, point: Point) -> str:
    x, y = _at(panel, point.recall, point.chair_i)
    tip = f"<title>{escape(_told(panel, point))}</title>"
    if point.interval is None:
        return f'<g class="undefined">{tip}<path d="M{x - 4} {y - 4}l8 8m0 -8l-8 8"/></g>'
    (_, low), (_, high) = (_at(panel, point.recall, end) for end in point.interval)
    kind = (point.side or "no difference").replace(" ", "-")
    return f'<g class="{kind}">{tip}<path d="M{x} {low}V{high}"/><circle cx="{x}" cy="{y}" r="4"/></g>'


def _labels(panel: Panel, numbered: bool) -> Iterator[str]:
    texts = [str(point.number) if numbered else frontier.shortened(point.arm) for point in panel.points]
    points = [_at(panel, point.recall, point.chair_i) for point in panel.points]
    whole = _at(panel, panel.whole.recall, panel.whole.chair_i)
    texts.append("" if numbered else frontier.shortened(panel.baseline))
    sizes = [(_LETTER * len(text) + 2, _LINE) if text else (0.0, 0.0) for text in texts]
    lines = along([_at(panel, one.recall, one.chair_i) for one in panel.curve], 1.5)
    for point in panel.points:
        if point.interval is not None:
            (x, low), (_, high) = (_at(panel, point.recall, end) for end in point.interval)
            lines.append(Box(x - 1, high, x + 1, low))
    inside = Box(_LEFT, _TOP, WIDTH, HEIGHT - _BOTTOM)
    boxes = placed([*points, whole], sizes, inside, lines, radius=6)
    for text, box, (x, y) in zip(texts, boxes, [*points, whole]):
        if not text:
            continue
        middle, height = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        if max(box.left - x, x - box.right, box.top - y, y - box.bottom) > 12:
            yield f'<path class="leader" d="M{x} {y}L{middle:.1f} {height:.1f}"/>'
        yield f'<text class="name" x="{middle:.1f}" y="{height + 4:.1f}">{escape(text)}</text>'


def _told(panel: Panel, point: Point) -> str:
    told = f"{point.arm}: recall {cells.number(point.recall)}, CHAIR_i {cells.number(point.chair_i)}"
    if point.interval is None:
        return f"{told}, no cut has its recall"
    return f"{told}, {point.verdict or 'no verdict'}"

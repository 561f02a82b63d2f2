"""The picture of saying less with matplotlib, in a paper's column or across its page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath

from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.report import forest, frontier
from hallu_tasks.report.figure import BLACK, BLUE, COLUMN, GREY, LOOKS, PAGE, STYLE
from hallu_tasks.report.frontier import Panel, Point
from hallu_tasks.report.labels import Box, along, placed

__all__ = ["draw"]

_MEANINGS = {
    "better": "beats saying less",
    "worse": "worse than saying less",
    "no difference": "no more than saying less (Holm)",
}
_OUTSIDE = "no cut has its recall"
_SIZE = 7.0  # of the letters, in points
_LEFT, _RIGHT, _TITLE, _BELOW, _LINE = 0.42, 0.12, 0.42, 0.42, 0.135
_HEIGHTS = {COLUMN: 2.2, PAGE: 3.1}
"""Inches, of the axes those by the width of the picture."""


def draw(comparison: RunComparison) -> Figure:
    """One panel a task with captions; there must be one."""
    panels = frontier.panels(comparison)
    with matplotlib.rc_context(STYLE):
        return _drawn(comparison.arms, panels)


def _drawn(arms: Sequence[str], panels: Sequence[Panel]) -> Figure:
    numbered = len(arms) - 1 > frontier.MOST_NAMES
    width = PAGE if numbered or len(arms) > 4 else COLUMN
    handles = _handles(panels)
    columns = 3 if width == PAGE else 1
    key = [frontier.shortened(arm) for arm in arms[1:]] if numbered else []
    legend = _LINE * (math.ceil(len(handles) / columns) + 1)
    foot = legend + _LINE * (math.ceil(len(key) / 4) + bool(key))
    one = _TITLE + _HEIGHTS[width] + _BELOW
    height = one * len(panels) + foot
    figure = Figure(figsize=(width, height), dpi=240)
    for place, panel in enumerate(panels):
        bottom = height - one * place - _TITLE - _HEIGHTS[width]
        size = (width - _LEFT - _RIGHT, _HEIGHTS[width])
        axes = figure.add_axes((_LEFT / width, bottom / height, size[0] / width, size[1] / height))
        _panel(axes, panel, size, numbered)
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(_LEFT / width, foot / height), ncols=columns, frameon=False,
        fontsize=_SIZE, borderaxespad=0, borderpad=0, columnspacing=1.2, handlelength=1.8, labelspacing=0.45,
    )  # fmt: skip
    rows = math.ceil(len(key) / 4)
    for at, text in enumerate(key):
        x = _LEFT + (width - _LEFT - _RIGHT) / 4 * (at // rows)
        y = foot - legend - _LINE * (at % rows)
        figure.text((x + 0.14) / width, y / height, str(at + 1), fontsize=_SIZE, va="top", ha="right")
        figure.text((x + 0.2) / width, y / height, text, fontsize=_SIZE, va="top")
    return figure


def _panel(axes: Axes, panel: Panel, size: tuple[float, float], numbered: bool) -> None:
    axes.set_xlim(panel.x)
    axes.set_ylim(panel.y)
    xs = [one.recall for one in panel.curve]
    axes.fill_between(
        xs, [one.low for one in panel.curve], [one.high for one in panel.curve], color=BLACK, alpha=0.1, linewidth=0
    )
    axes.plot(xs, [one.chair_i for one in panel.curve], color=BLACK, linewidth=1.1)
    cuts = [one for one in panel.curve if one.mentions]
    axes.plot([one.recall for one in cuts], [one.chair_i for one in cuts], ".", color=BLACK, markersize=3.5)
    axes.plot(panel.whole.recall, panel.whole.chair_i, "*", color=BLACK, markersize=8, zorder=4)
    for point in panel.points:
        _point(axes, point)
    axes.set_title(f"Does it beat saying less? {panel.task}", fontweight="bold", loc="left", pad=13)
    axes.annotate(
        "right and below: better",
        (0, 1), (0, 3), "axes fraction", "offset points", color=BLUE, fontsize=_SIZE,
    )  # fmt: skip
    axes.set_xlabel("recall (%)", labelpad=2)
    axes.set_ylabel("CHAIR_i (%)", labelpad=2)
    axes.set_xticks(panel.x_ticks, [forest.tick_text(tick) for tick in panel.x_ticks])
    axes.set_yticks(panel.y_ticks, [forest.tick_text(tick) for tick in panel.y_ticks])
    axes.tick_params(pad=2)
    axes.spines[["top", "right"]].set_visible(False)
    _labels(axes, panel, size, numbered)


def _point(axes: Axes, point: Point) -> None:
    if point.interval is None:
        axes.plot(point.recall, point.chair_i, "x", color=GREY, markersize=4, markeredgewidth=1, zorder=5)
        return
    edge, filling, _ = LOOKS[point.side or "no difference"]
    axes.plot([point.recall] * 2, point.interval, color=edge, linewidth=0.9, solid_capstyle="butt", alpha=0.7)
    axes.plot(
        point.recall, point.chair_i, "o", markersize=4.2, color=edge, markerfacecolor=filling, markeredgewidth=0.9,
        zorder=5,
    )  # fmt: skip


def _labels(axes: Axes, panel: Panel, size: tuple[float, float], numbered: bool) -> None:
    """Names or numbers of the points, and at the cuts how many mentions they keep."""
    wide, high = (72 * inches for inches in size)

    def at(recall: float, chair_i: float) -> tuple[float, float]:
        x = (recall - panel.x[0]) / (panel.x[1] - panel.x[0]) * wide
        return x, (panel.y[1] - chair_i) / (panel.y[1] - panel.y[0]) * high

    texts = [str(point.number) if numbered else frontier.shortened(point.arm) for point in panel.points]
    texts.append("" if numbered else frontier.shortened(panel.baseline))
    points = [at(point.recall, point.chair_i) for point in panel.points]
    points.append(at(panel.whole.recall, panel.whole.chair_i))
    curve = [at(one.recall, one.chair_i) for one in panel.curve]
    whiskers = [
        (at(one.recall, one.interval[1]), at(one.recall, one.interval[0])) for one in panel.points if one.interval
    ]
    lines = [Box(left - 1, top, left + 1, bottom) for (left, top), (_, bottom) in whiskers]
    lines += along(curve)
    boxes = placed(points, [_extent(text) for text in texts], Box(0, 0, wide, high), lines)
    for text, point, box in zip(texts, points, boxes):
        if not text:
            continue
        _text(axes, text, box, (wide, high), BLACK)
        gap = _gap(point, box)
        if gap > 8:
            middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
            axes.annotate(
                "", _share(point, wide, high), _share(middle, wide, high), "axes fraction", "axes fraction",
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 4, "shrinkB": 3},
            )  # fmt: skip
    if numbered:
        return
    cuts = [(one, at(one.recall, one.chair_i)) for one in panel.curve if one.mentions]
    shown: list[Box] = [*boxes, *lines[: len(whiskers)], *(Box(x - 4, y - 4, x + 4, y + 4) for x, y in points)]
    for one, (x, y) in cuts:
        width, height = _extent(str(one.mentions))
        box = Box(x + 1, y + 2, x + 1 + width, y + 2 + height)
        if box.right < wide and box.bottom < high and not any(box.overlap(other) for other in shown):
            _text(axes, str(one.mentions), box, (wide, high), GREY)
            shown.append(box)


def _text(axes: Axes, text: str, box: Box, size: tuple[float, float], colour: str) -> None:
    x, y = _share((box.left, (box.top + box.bottom) / 2), *size)
    axes.text(
        x, y, text, transform=axes.transAxes, fontsize=_SIZE, color=colour, va="center_baseline", zorder=6,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip


def _share(point: tuple[float, float], wide: float, high: float) -> tuple[float, float]:
    return point[0] / wide, 1 - point[1] / high


def _extent(text: str) -> tuple[float, float]:
    if not text:
        return 0.0, 0.0
    return float(TextPath((0, 0), text, size=_SIZE).get_extents().width) + 2, _SIZE * 1.15


def _gap(point: tuple[float, float], box: Box) -> float:
    x = max(box.left - point[0], 0, point[0] - box.right)
    y = max(box.top - point[1], 0, point[1] - box.bottom)
    return math.hypot(x, y)


def _handles(panels: Sequence[Panel]) -> list[Line2D | Patch]:
    baseline = frontier.shortened(panels[0].baseline)
    found: list[Line2D | Patch] = [
        Line2D([], [], color=BLACK, marker="*", markersize=8, linewidth=0, label=f"{baseline}, whole captions"),
        Line2D([], [], color=BLACK, marker=".", markersize=3.5, linewidth=1.1, label="cut after 1, 2, ... mentions"),
        Patch(color=BLACK, alpha=0.1, linewidth=0, label="95 % band of the cuts"),
    ]
    points = [point for panel in panels for point in panel.points]
    if any(point.interval is not None for point in points):
        found.append(
            Line2D(
                [],
                [],
                color=GREY,
                marker="|",
                markersize=8,
                linewidth=0,
                label="95 % interval of the difference to the curve",
            )
        )
    for side, meaning in _MEANINGS.items():
        if any(point.interval is not None and (point.side or "no difference") == side for point in points):
            edge, filling, _ = LOOKS[side]
            found.append(
                Line2D(
                    [],
                    [],
                    marker="o",
                    markersize=4.2,
                    color=edge,
                    markerfacecolor=filling,
                    linewidth=0.9,
                    label=meaning,
                )
            )
    if any(point.interval is None for point in points):
        found.append(Line2D([], [], marker="x", markersize=4, color=GREY, linewidth=0, label=_OUTSIDE))
    return found

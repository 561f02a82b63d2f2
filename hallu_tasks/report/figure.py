"""The forest plot as a picture, in a paper's column or across its page. Needs matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.report import forest
from hallu_tasks.report.forest import Panel, Point

__all__ = ["BLACK", "BLUE", "COLUMN", "GREY", "LOOKS", "PAGE", "STYLE", "draw", "encoded"]

COLUMN, PAGE = 3.3, 6.9
"""Widths in inches."""

BLUE, ORANGE, BLACK, GREY = "#0072B2", "#D55E00", "#222222", "#666666"
"""Told apart by colour-blind readers too (Okabe and Ito)."""

LOOKS = {
    "better": (BLUE, BLUE, "better"),
    "worse": (ORANGE, ORANGE, "worse"),
    "other": (BLACK, BLACK, "differs, no side is better"),
    "no difference": (GREY, "white", "no difference"),
}
"""Line colour, filling and meaning of a marker."""

STYLE: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "svg.hashsalt": "lmms-eval-hallu",
    "pdf.fonttype": 42,
}

_WITHOUT_DATE: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}

_LONGEST = 20  # characters of an arm's name in a line


def draw(comparison: RunComparison) -> Figure:
    """One panel a headline metric, one row an arm.

    Raises `ValueError` for a single arm.
    """
    panels = forest.panels(comparison)
    if not panels:
        raise ValueError(forest.nothing(comparison))
    with matplotlib.rc_context(STYLE):
        return _drawn(comparison, panels)


def encoded(figure: Figure, form: str) -> bytes:
    """The picture's file: `form` is png, svg or pdf. The same figure gives the same bytes."""
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format=form, dpi="figure", metadata=_WITHOUT_DATE[form])
    return file.getvalue()


def _drawn(comparison: RunComparison, panels: list[Panel]) -> Figure:
    baseline, *arms = comparison.arms
    alone = len(arms) == 1
    narrow = alone or len(panels) <= 2
    columns = min(len(panels), 2) if narrow else _columns(len(panels))
    lines = math.ceil(len(panels) / columns)
    names = [textwrap.fill(arm, _LONGEST) for arm in arms]
    highest = 1 if alone else max(name.count("\n") + 1 for name in names)
    height = lines * (0.62 + len(arms) * (0.05 + 0.12 * highest)) + 0.55
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.03, hspace=0.04, wspace=0.02)
    figure = Figure(figsize=(COLUMN if narrow else PAGE, height), dpi=240, layout=layout)
    what = f"{arms[0]} − {baseline}" if alone else f"Difference to {baseline}"
    figure.suptitle(f"{what}, 95 % intervals", fontsize=8.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        _panel(axes, panels[place])
        labelled = place % columns == 0 and not alone
        axes.set_yticks(range(len(arms)), names if labelled else [])
    _legend(figure, panels, narrow)
    return figure


def _columns(panels: int) -> int:
    """Three or four, whichever leaves fewer places empty."""
    return min((4, 3), key=lambda columns: -panels % columns)


def _panel(axes: Axes, panel: Panel) -> None:
    axes.set_xlim(panel.low, panel.high)
    axes.set_ylim(len(panel.points) - 0.4, -0.6)
    axes.axvline(0, color=BLACK, linewidth=0.8)
    if panel.better is not None:
        gains = (0.0, panel.high) if panel.better == "higher" else (panel.low, 0.0)
        axes.axvspan(*gains, color=BLUE, alpha=0.08, linewidth=0)
        right = panel.better == "higher"
        axes.set_xlabel("better →" if right else "← better", loc="right" if right else "left", color=BLUE, labelpad=1)
    else:
        axes.set_xlabel(" ", labelpad=1)
    for row, point in enumerate(panel.points):
        _point(axes, row, point)
    axes.set_xticks(panel.ticks, [forest.tick_text(tick) for tick in panel.ticks])
    axes.set_title(f"{panel.metric} ({panel.unit})", fontweight="bold", pad=3)
    axes.annotate(panel.task, (0.5, 1), (0, 14), "axes fraction", "offset points", ha="center", color=GREY, fontsize=7)
    axes.tick_params(left=False, pad=2)
    axes.spines[["left", "top", "right"]].set_visible(False)


def _point(axes: Axes, row: int, point: Point) -> None:
    if point.difference is None:
        axes.annotate("N/A", (0, row), (3, 0), textcoords="offset points", va="center", color=GREY)
        return
    edge, filling, _ = LOOKS.get(point.side or "no difference", LOOKS["other"])
    if point.interval is not None:
        axes.plot(point.interval, (row, row), color=edge, linewidth=1.1, solid_capstyle="butt")
    axes.plot(
        point.difference, row, marker="o", markersize=4.2, color=edge, markerfacecolor=filling, markeredgewidth=0.9
    )


def _legend(figure: Figure, panels: list[Panel], narrow: bool) -> None:
    verdicts = {point.side or "no difference" for panel in panels for point in panel.points}
    present = {verdict if verdict in LOOKS else "other" for verdict in verdicts}
    handles = [
        Line2D([], [], marker="o", markersize=4.2, color=edge, markerfacecolor=filling, linewidth=1.1, label=meaning)
        for name, (edge, filling, meaning) in LOOKS.items()
        if name in present
    ]
    columns = 2 if narrow else 4
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=7)

"""The trade-off curve of a sweep: what a lower CHAIR_s costs in recall, one point a setting."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hallu_tasks.sweep.table import Point

__all__ = ["draw", "encoded"]

# Told apart by colour-blind readers too (Okabe and Ito), and by their markers in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "os^Dv<"
_GREY = "#555555"


def draw(title: str, tasks: Mapping[str, Sequence[Point]], baselines: Mapping[str, Point]) -> Figure:
    """A panel a task. Settings that differ in the last parameter only are joined in their order."""
    figure = Figure(figsize=(4.8 * len(tasks), 4.0), layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, (task, points) in zip(panels, tasks.items()):
        _panel(axes, task, points, baselines.get(task))
    return figure


def encoded(figure: Figure, kind: str) -> bytes:
    """The picture's bytes, the same for the same figure."""
    target = io.BytesIO()
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    figure.savefig(target, format=kind, dpi=150, metadata=stamp)
    return target.getvalue()


def _panel(axes: Axes, task: str, points: Sequence[Point], baseline: Point | None) -> None:
    lines: dict[str, list[Point]] = {}
    for point in points:
        *others, _ = point.line.settings.items()
        lines.setdefault(", ".join(f"{name}={value}" for name, value in others), []).append(point)
    swept = list(points[0].line.settings)[-1]
    for number, (name, along) in enumerate(lines.items()):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        xs, ys = [point.recall for point in along], [point.chair_s for point in along]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=5, linewidth=1.2, label=name or None)
        for point in along:
            _label(axes, point, f"{swept}={point.line.settings[swept]}" if number == 0 else point.line.settings[swept])
    if baseline is not None:
        axes.plot(baseline.recall, baseline.chair_s, "*", color="black", markersize=11, label=baseline.line.name)
    axes.set_title(task, fontsize=9)
    axes.set_xlabel("recall (%), higher is better")
    axes.set_ylabel("CHAIR_s (%), lower is better")
    axes.margins(0.15)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    if any(lines) or baseline is not None:
        axes.legend(fontsize=7, frameon=False)


def _label(axes: Axes, point: Point, text: str) -> None:
    place = (point.recall, point.chair_s)
    axes.annotate(text, place, xytext=(5, 4), textcoords="offset points", fontsize=7, color=_GREY)

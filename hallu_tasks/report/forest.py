"""What a forest plot shows: one panel a headline metric, one row an arm, on axes that hold every interval.

`figure` draws it with matplotlib, `drawing` as SVG for the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from hallu_tasks.benchmark import Direction
from hallu_tasks.compare.comparison import MetricRow, RunComparison, side
from hallu_tasks.scoring.paired import Interval

__all__ = ["Panel", "Point", "nothing", "panels", "short_names", "tick_text", "ticks"]

_MOST_TICKS = 5.5
_MARGIN = 0.08
_UNITS = {"percent": "pp"}
"""A difference of percentages is in percentage points."""


@dataclass(frozen=True)
class Point:
    """An arm's difference to the baseline; ``None`` where undefined."""

    arm: str
    difference: float | None
    interval: Interval | None
    verdict: str | None

    @property
    def side(self) -> str | None:
        """The verdict as `comparison.side` has it."""
        return side(self.verdict)


@dataclass(frozen=True)
class Panel:
    """One metric. `low` and `high` are the ends of the axis, `better` the side on which an arm gains."""

    task: str
    metric: str
    unit: str
    better: Direction | None
    points: tuple[Point, ...]
    low: float
    high: float
    ticks: tuple[float, ...]


def panels(comparison: RunComparison) -> list[Panel]:
    """The panels in reading order; tasks are called by what sets their names apart."""
    short = short_names([block.task for block in comparison.blocks])
    return [
        _panel(short[block.task], row, comparison.arms[1:])
        for block in comparison.blocks
        for row in block.rows
        if row.metric.headline and row.contrasts and row.tested
    ]


def nothing(comparison: RunComparison) -> str:
    """Why there is no panel, with the way out."""
    if len(comparison.arms) < 2:
        return "a plot shows differences to a baseline; give the results of at least two arms"
    return "the arms share no headline metric, so there is nothing to plot; leave it out"


def tick_text(value: float) -> str:
    """A number on an axis, with a minus sign of the width of a plus sign."""
    return f"{value:g}".replace("-", "−")


def _panel(task: str, row: MetricRow, arms: Sequence[str]) -> Panel:
    points = tuple(
        Point(arm, contrast.result.difference, contrast.result.interval, contrast.verdict)
        for arm, contrast in zip(arms, row.contrasts)
    )
    low, high = _ends(points)
    unit = _UNITS.get(row.metric.unit, row.metric.unit)
    return Panel(task, row.metric.label, unit, row.metric.direction, points, low, high, ticks(low, high))


def _ends(points: Sequence[Point]) -> tuple[float, float]:
    """The range of everything shown and zero, which keeps away from the ends."""
    shown = [0.0]
    for point in points:
        if point.difference is not None:
            shown += [point.difference, *(point.interval or ())]
    span = max(shown) - min(shown)
    if not span:
        return -1.0, 1.0
    return min(shown) - _MARGIN * span, max(shown) + _MARGIN * span


def ticks(low: float, high: float) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / _MOST_TICKS))
    step = next(size * power for size in (1, 2, 5, 10) if (high - low) / (size * power) <= _MOST_TICKS)
    first, last = math.ceil(low / step), math.floor(high / step)
    return tuple(round(number * step, 10) for number in range(first, last + 1))


def short_names(tasks: Sequence[str]) -> dict[str, str]:
    """Names of tasks without the words that all begin with; a name alone stays whole."""
    words = [task.split("_") for task in tasks]
    # zip ends with the shortest name, whose last word stays.
    common = sum(1 for _ in takewhile(lambda same: len(set(same)) == 1, zip(*(name[:-1] for name in words))))
    return {task: "_".join(name[common if len(tasks) > 1 else 0 :]) for task, name in zip(tasks, words)}

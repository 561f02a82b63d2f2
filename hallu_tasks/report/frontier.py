"""What the picture of saying less shows: CHAIR_i against recall, the baseline's cuts as a curve and a point an arm.

A point's line is the interval of its difference, drawn from the curve: where it crosses the curve, the arm does no more
than saying less. `frontier_figure` draws the picture with matplotlib, `frontier_drawing` as SVG for the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hallu_tasks.compare.comparison import Block, RunComparison, side
from hallu_tasks.report import forest
from hallu_tasks.scoring.frontier import Against, Frontier
from hallu_tasks.scoring.paired import Interval

__all__ = ["MOST_NAMES", "Curve", "Panel", "Point", "panels", "shortened"]

MOST_NAMES = 6
"""More arms than this are numbered, with a key beside the picture."""

_LEAST_SPAN = 6.0
"""Points of recall that a picture shows at least, else chance would fill it."""
_MARGIN = 0.06
_MOST_LETTERS = 24


@dataclass(frozen=True)
class Point:
    """An arm: recall, CHAIR_i, and the `interval` of its difference from the curve, ``None`` where there is none."""

    arm: str
    number: int
    recall: float
    chair_i: float
    interval: Interval | None
    verdict: str | None

    @property
    def side(self) -> str | None:
        """The verdict as `comparison.side` has it."""
        return side(self.verdict)


@dataclass(frozen=True)
class Curve:
    """The baseline's captions cut after so many `mentions`: recall, CHAIR_i and the ends of its interval.

    The first and the last may lie between two cuts, where the picture ends; `mentions` is 0 there.
    """

    mentions: int
    recall: float
    chair_i: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """One task. `x` and `y` are the ends of the axes, recall and CHAIR_i in percent; `whole` is the baseline uncut."""

    task: str
    baseline: str
    curve: tuple[Curve, ...]
    whole: Curve
    points: tuple[Point, ...]
    x: Interval
    y: Interval
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]


def panels(comparison: RunComparison) -> list[Panel]:
    """A panel for each task with a frontier, in reading order."""
    short = forest.short_names([block.task for block in comparison.blocks])
    return [
        _panel(short[block.task], comparison.arms, block, block.frontier)
        for block in comparison.blocks
        if block.frontier is not None
    ]


def shortened(name: str) -> str:
    """An arm's name as long as a picture has room for."""
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _panel(task: str, arms: Sequence[str], block: Block, frontier: Frontier) -> Panel:
    (row,) = (row for row in block.rows if row.kind == "cut" and row.metric.headline)
    verdicts = [contrast.verdict for contrast in row.contrasts]
    points = tuple(
        point
        for number, (arm, one, verdict) in enumerate(zip(arms[1:], frontier.arms, verdicts, strict=True), 1)
        if (point := _point(arm, number, one, verdict)) is not None
    )
    every = [_cut(cut.mentions, cut.recall.value, cut.chair_i.value, cut.chair_i.interval) for cut in frontier.cuts]
    cuts = [one for one in every if one is not None]
    whole = cuts[-1]
    recalls = [whole.recall, *(point.recall for point in points)]
    span = max(max(recalls) - min(recalls), _LEAST_SPAN)
    x = max(0.0, min(recalls) - span / 4), min(100.0, max(recalls) + span / 6)
    curve = _within(cuts, x)
    heights = [end for one in curve for end in (one.low, one.high)]
    heights += [value for point in points for value in (point.chair_i, *(point.interval or ()))]
    margin = _MARGIN * (max(heights) - min(heights)) or 1.0
    y = max(0.0, min(heights) - margin), min(100.0, max(heights) + margin)
    return Panel(task, arms[0], curve, whole, points, x, y, forest.ticks(*x), forest.ticks(*y))


def _point(arm: str, number: int, one: Against, verdict: str | None) -> Point | None:
    """``None`` for an arm without recall or CHAIR_i."""
    recall, chair_i = one.recall.value, one.chair_i.b.value
    if recall is None or chair_i is None:
        return None
    ends = one.chair_i.interval
    cut = one.chair_i.a.value
    interval = None if ends is None or cut is None else (cut + ends[0], cut + ends[1])
    return Point(arm, number, recall, chair_i, interval, verdict)


def _cut(mentions: int, recall: float | None, chair_i: float | None, interval: Interval | None) -> Curve | None:
    if recall is None or chair_i is None:
        return None
    return Curve(mentions, recall, chair_i, *(interval or (chair_i, chair_i)))


def _within(cuts: Sequence[Curve], x: Interval) -> tuple[Curve, ...]:
    """The part of the curve inside of `x`, with ends on its border where the curve goes on."""
    inside = [one for one in cuts if x[0] <= one.recall <= x[1]]
    before = [one for one in cuts if one.recall < x[0]]
    after = [one for one in cuts if one.recall > x[1]]
    if before and (inside or after):
        inside.insert(0, _between(before[-1], (inside or after)[0], x[0]))
    if after:
        inside.append(_between(inside[-1], after[0], x[1]))
    return tuple(inside)


def _between(left: Curve, right: Curve, recall: float) -> Curve:
    share = (recall - left.recall) / (right.recall - left.recall)
    ends = ((getattr(left, name), getattr(right, name)) for name in ("chair_i", "low", "high"))
    return Curve(0, recall, *(start + share * (end - start) for start, end in ends))

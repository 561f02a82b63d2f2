"""Where the labels of a picture's points stand: near them, and covering no point, no other label, and few lines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Box", "along", "placed"]

_DISTANCES = (0.0, 4.0, 9.0, 15.0, 22.0, 30.0, 40.0, 52.0, 66.0)
_DIRECTIONS = 16
_LINE, _LABEL = 0.5, 10_000.0
"""What a covered unit of area costs, in units of distance: of lines, and of points and other labels."""


class Box(NamedTuple):
    """A rectangle; in all pictures here `top` is the smaller number."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that two boxes share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


def placed(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    inside: Box,
    lines: Sequence[Box] = (),
    radius: float = 4.0,
) -> list[Box]:
    """A box for the label of each point, `sizes` wide and high, near its point and `inside` of the picture.

    `lines` are places to keep free where that costs little distance, `radius` is that of the points.
    """
    marks = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    found: dict[int, Box] = {}
    # Points at the border first: they have the fewest places.
    centre = (sum(x for x, _ in points) / max(1, len(points)), sum(y for _, y in points) / max(1, len(points)))
    order = sorted(range(len(points)), key=lambda at: (-math.dist(points[at], centre), at))
    for at in order:
        obstacles = [*marks, *found.values()]
        around = list(_around(points[at], sizes[at], radius))
        candidates = [one for one in around if _holds(inside, one[1])] or around[:1]
        costs = [
            distance
            + _LINE * sum(box.overlap(other) for other in lines)
            + _LABEL * sum(box.overlap(other) for other in obstacles)
            for distance, box in candidates
        ]
        found[at] = candidates[costs.index(min(costs))][1]
    return [found[at] for at in range(len(points))]


def along(curve: Sequence[tuple[float, float]], width: float = 1.0) -> list[Box]:
    """Small boxes that cover a line through these points."""
    found = []
    for start, end in itertools.pairwise(curve):
        steps = max(1, round(math.dist(start, end) / (2 * width)))
        for step in range(steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, end))
            found.append(Box(x - width, y - width, x + width, y + width))
    return found


def _around(point: tuple[float, float], size: tuple[float, float], radius: float) -> Iterator[tuple[float, Box]]:
    """Places with their distance, from the nearest on, right of the point first."""
    width, height = size
    for distance in _DISTANCES:
        for step in range(_DIRECTIONS):
            # 0, 1, -1, 2, -2, ...: to both sides of the right.
            turn = (step + 1) // 2 * (1 if step % 2 else -1)
            angle = 2 * math.pi * turn / _DIRECTIONS
            x = point[0] + math.cos(angle) * (radius + distance + width / 2 + 1)
            y = point[1] + math.sin(angle) * (radius + distance + height / 2 + 1)
            yield distance, Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _holds(outer: Box, inner: Box) -> bool:
    return (
        outer.left <= inner.left
        and outer.top <= inner.top
        and inner.right <= outer.right
        and inner.bottom <= outer.bottom
    )

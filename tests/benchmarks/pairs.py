"""Interleaved pairs of measurements, and the table row that they make."""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


@dataclass(frozen=True)
class Bound:
    """The worst value a row may have: the largest, or the smallest where more is better."""

    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Row:
    """One cost. ``value`` compares arm with control: a ratio, or a difference in ``unit`` (``difference``).

    control, arm: medians in ``unit``. quartiles: first and third, over the pairs. A row that could not be measured has
    no value, and its note says why.
    """

    measurement: str
    where: str
    control: float | None = None
    arm: float | None = None
    unit: str = ""
    value: float | None = None
    quartiles: tuple[float, float] | None = None
    repeats: int = 0
    bound: Bound | None = None
    difference: bool = False
    note: str = ""

    @property
    def result(self) -> str:
        if self.value is None:
            return "not measured"
        if self.bound is None:
            return "no bound"
        return "met" if self.bound.met(self.value) else "missed"


def pairs(
    control: Callable[[], T], arms: Mapping[str, Callable[[], T]], repeats: int, label: str
) -> dict[str, list[tuple[T, T]]]:
    """(control, arm) for every arm and repeat, each measured next to its control, in turned order every other time."""
    found: dict[str, list[tuple[T, T]]] = {name: [] for name in arms}
    for repeat in tqdm(range(repeats), desc=label, unit="repeat", mininterval=0.2 if sys.stderr.isatty() else 30):
        for name, arm in arms.items():
            if repeat % 2 == 0:
                first, second = _collected(control), _collected(arm)
            else:
                second, first = _collected(arm), _collected(control)
            found[name].append((first, second))
    return found


def _collected(measure: Callable[[], T]) -> T:
    gc.collect()
    return measure()


def ratio_row(
    measurement: str, where: str, values: Sequence[tuple[float, float]], unit: str, bound: Bound | None
) -> Row:
    """The median of the pairs' ratios arm / control."""
    ratios = [arm / control for control, arm in values]
    control, arm = _medians(values)
    return Row(
        measurement, where, control, arm, unit, statistics.median(ratios), _quartiles(ratios), len(values), bound
    )


def difference_row(
    measurement: str,
    where: str,
    values: Sequence[tuple[float, float]],
    bound: Bound | None,
    note: str = "",
    unit: str = "s",
) -> Row:
    """The difference of the medians arm - control; the quartiles are those of the pairs' differences."""
    control, arm = _medians(values)
    quartiles = _quartiles([arm - control for control, arm in values])
    return Row(measurement, where, control, arm, unit, arm - control, quartiles, len(values), bound, True, note)


def _medians(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(control for control, _ in values), statistics.median(arm for _, arm in values)


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third

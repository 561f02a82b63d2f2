"""Scores with their intervals, for records that were made of answers from files.

Every interval is over images: Wilson's for a proportion of independent captions (CHAIR_s, Hal), else a percentile
bootstrap that draws images with all their questions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hallu_tasks.benchmark import Metric
from hallu_tasks.scoring import paired
from hallu_tasks.scoring.units import Record

__all__ = ["DEFAULT", "Bootstrap", "Estimated", "Result"]


@dataclass(frozen=True)
class Estimated:
    """One number of the result: what it is called, its unit and better direction, and its estimate."""

    metric: Metric
    estimate: paired.Estimate


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn."""

    resamples: int = 10_000
    seed: int = 0

    def score(self, metric: Metric, records: Mapping[Any, Record], unit: Mapping[Any, Hashable]) -> Estimated:
        """The metric over `records`, resampling units; a proportion of single documents gets Wilson's interval."""
        if metric.outcome is not None and len(set(unit.values())) == len(unit):
            share = paired.proportion(records, outcome=metric.outcome, among=metric.among, empty=metric.empty)
            return Estimated(metric, share)
        estimate = paired.estimate(
            records, statistic=metric.statistic, unit=unit, resamples=self.resamples, seed=self.seed
        )
        return Estimated(metric, estimate)

    def scores(self, metrics: Iterable[Metric], records: Mapping[Any, Record]) -> dict[str, Estimated]:
        """Each metric by name, but for counts, which stand beside the scores as plain numbers.

        The keys of `records` are their units.
        """
        unit = {key: key for key in records}
        return {one.name: self.score(one, records, unit) for one in metrics if not one.name.endswith("_count")}


DEFAULT = Bootstrap()

Result = dict[str, Any]
"""A scorer's result with an `Estimated` in the place of each number that has an interval."""

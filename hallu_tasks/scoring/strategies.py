"""The mean of a score over strategies: what papers state of POPE's random, popular and adversarial questions.

Each strategy counts the same, so the mean of a ratio differs from that of all questions pooled. Where the strategies
are of one size, as POPE's are, the mean accuracy is that of all questions.

Records have keys that begin with their strategy. What is resampled stays the image, with its questions of all
strategies: they show the same images, and share the questions that are answered yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hallu_tasks.scoring.ratios import Ratio
from hallu_tasks.scoring.units import Array, Record, Statistic

__all__ = ["apart", "mean"]


def apart(records: Mapping[Any, Record], columns: Iterable[str]) -> dict[Any, Record]:
    """The columns under the name of each record's strategy, ``random.questions``, and zero under the others."""
    names = list(columns)
    blank = {f"{strategy}.{column}": 0 for strategy, *_ in records for column in names}
    return {key: blank | {f"{key[0]}.{column}": record[column] for column in names} for key, record in records.items()}


def mean(ratio: Ratio, strategies: Sequence[str]) -> Statistic:
    """The mean of `ratio` over `strategies`, of columns that `apart` made; undefined where one of them is."""
    ratios = [
        replace(
            ratio,
            numerator=f"{name}.{ratio.numerator}",
            denominator=tuple(f"{name}.{column}" for column in ratio.denominator),
        )
        for name in strategies
    ]

    def value(sums: Mapping[str, Array]) -> Array:
        values: Array = np.mean([one(sums) for one in ratios], axis=0)
        return values

    return value

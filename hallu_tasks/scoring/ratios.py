"""Ratios of summed columns, with one rule for all scorers: a zero denominator has no value, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ratio", "evaluate", "total"]


@dataclass(frozen=True)
class Ratio:
    """``scale`` x numerator / (sum of the denominator columns).

    The default scale makes a percentage; 200 makes F1 from correct / (predicted + actual). `empty` is the
    reason given when the denominator is zero.
    """

    numerator: str
    denominator: tuple[str, ...]
    empty: str = "the denominator is zero"
    scale: float = 100.0

    def value(self, sums: Mapping[str, float]) -> float | None:
        """Return the ratio of one set of sums, ``None`` when the denominator is zero."""
        whole = sum(sums[column] for column in self.denominator)
        return self.scale * sums[self.numerator] / whole if whole else None

    def __call__(self, sums: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the ratio element by element for columns of sums, NaN where the denominator is zero."""
        whole = sum((sums[column] for column in self.denominator), np.zeros(()))
        part = self.scale * sums[self.numerator]
        result: NDArray[np.float64] = np.full(np.shape(part), np.nan)
        np.divide(part, whole, out=result, where=whole != 0)
        return result


def evaluate(table: Mapping[str, Ratio], sums: Mapping[str, float]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the value of every ratio in `table`, and the reason of each that is ``None``."""
    values = {name: ratio.value(sums) for name, ratio in table.items()}
    return values, {name: table[name].empty for name, value in values.items() if value is None}


def total(records: list[Mapping[str, Any]], columns: tuple[str, ...]) -> dict[str, int]:
    """Return the sum of each column over the records."""
    return {column: sum(record[column] for record in records) for column in columns}

"""Records summed per unit: the columns that `hallu_tasks.scoring.paired` resamples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hallu_tasks.scoring.keyed import name_some, require_same_keys

__all__ = ["Arm", "Array", "Record", "Records", "Statistic", "Units", "differing_count", "summed"]

Array = NDArray[np.float64]

Statistic = Callable[[Mapping[str, Array]], Array]
"""Maps columns of sums to values, element by element; NaN where the value is undefined. `Ratio` is one."""

Record = Mapping[str, Any]

Records = Mapping[Any, Record] | Sequence[Record]
"""One record a document, by key, or in the same order in both arms.

The numbers of a record are its columns, its texts are rules such as ``mode``; other fields are ignored.
"""

Units = Mapping[Any, Hashable] | Sequence[Hashable]
"""The unit of each document, under the records' keys or in their order."""


@dataclass(frozen=True)
class Arm:
    """Sums per unit: `matrix` has shape (units, columns)."""

    columns: tuple[str, ...]
    matrix: Array
    labels: dict[str, Any]

    def evaluate(self, statistic: Statistic, sums: Array) -> Array:
        """Return the statistic for each row of `sums`, shape (rows, columns)."""
        try:
            values = statistic({name: sums[:, i] for i, name in enumerate(self.columns)})
        except KeyError as error:
            raise ValueError(
                f"the statistic needs column {error.args[0]!r}; the records have: {', '.join(self.columns)}"
            ) from None
        result = np.asarray(values, dtype=np.float64)
        if result.shape != (len(sums),):
            raise ValueError(
                f"the statistic returned shape {result.shape} for columns of shape ({len(sums)},); "
                "it must work element by element"
            )
        return np.where(np.isfinite(result), result, np.nan)

    def read_by(self, statistic: Statistic) -> list[int]:
        """Return the places of the columns that the statistic reads."""
        sums = _Read({name: np.ones(1) for name in self.columns})
        statistic(sums)
        return [place for place, name in enumerate(self.columns) if name in sums.names]


class _Read(Mapping[str, Array]):
    """Columns that remember which of them were asked for."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self._columns = columns
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Array:
        self.names.add(name)
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def differing_count(a: Arm, b: Arm, statistic: Statistic) -> int:
    """Return how many units differ between two arms in what the statistic reads."""
    if not len(a.matrix):
        return 0
    places = a.read_by(statistic)
    return int(np.count_nonzero((a.matrix[:, places] != b.matrix[:, places]).any(axis=1)))


def summed(runs: list[Records], unit: Units | None) -> list[Arm]:
    """Sum every run's records per unit, in an order that depends on the units alone.

    Raises `ValueError` for runs whose documents, columns or text fields differ, and for a document without
    a unit.
    """
    if len({isinstance(given, Mapping) for given in (*runs, unit) if given is not None}) > 1:
        raise ValueError("give all records and units by key, or all as sequences in the same order")
    documents = [_by_key(run) for run in runs]
    fix = "compare runs on the same documents"
    for other in documents[1:]:
        require_same_keys(documents[0], other, "documents of a", "documents of b", fix)
    unit_of: Mapping[Any, Hashable] = {key: key for key in documents[0]}
    if unit is not None:
        unit_of = _by_key(unit)
        require_same_keys(documents[0], unit_of, "documents", "units", "give the unit of every document and no other")
    order = sorted(set(unit_of.values()), key=lambda name: (type(name).__name__, repr(name)))
    row_of = {name: row for row, name in enumerate(order)}
    result = [_arm(records, unit_of, row_of) for records in documents]
    _require_same_rules(result)
    return result


def _by_key(values: Mapping[Any, Any] | Sequence[Any]) -> dict[Hashable, Any]:
    return dict(values) if isinstance(values, Mapping) else dict(enumerate(values))


def _arm(records: dict[Hashable, Record], unit_of: Mapping[Any, Hashable], row_of: dict[Hashable, int]) -> Arm:
    first = next(iter(records.values()), {})
    columns = tuple(sorted(name for name, value in first.items() if isinstance(value, Real)))
    labels = {name: value for name, value in first.items() if isinstance(value, str)}
    matrix = np.zeros((len(row_of), len(columns)))
    for key, entry in records.items():
        if entry.keys() != first.keys():
            differing = name_some(sorted(entry.keys() ^ first.keys()))
            raise ValueError(f"document {key!r} has other columns than the first one: {differing}")
        for name, value in labels.items():
            if entry[name] != value:
                raise ValueError(
                    f"documents differ in {name}: {value!r} and {entry[name]!r}, in {key!r}; score all by one "
                    "rule, and leave out fields that are not the scorer's"
                )
        matrix[row_of[unit_of[key]]] += [entry[name] for name in columns]
    return Arm(columns, matrix, labels)


def _require_same_rules(arms: list[Arm]) -> None:
    first = arms[0]
    for other in arms[1:]:
        if other.columns != first.columns or other.labels.keys() != first.labels.keys():
            differing = name_some(sorted({*first.columns, *first.labels} ^ {*other.columns, *other.labels}))
            raise ValueError(f"a and b have different columns: {differing}")
        for name, value in first.labels.items():
            if other.labels[name] != value:
                raise ValueError(
                    f"a and b were scored by different rules: {name} {value!r} and {other.labels[name]!r}; "
                    "score both the same way"
                )

"""What DASH-B's task calls: one record an answer, and the scores of all records.

A document needs ``answer`` ("yes" or "no") and ``image_id``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import dash_b

Record = Mapping[str, Any]

NAMES = ("accuracy", "tnr", "tpr", "harmonic_mean", "yes_ratio", "unparsed_count")


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under every metric."""
    record = {"image_id": doc["image_id"], **dash_b.record(results[0], doc["answer"])}
    return dict.fromkeys(NAMES, record)


def _score(name: str) -> Callable[[Iterable[Record]], float | None]:
    def score(records: Iterable[Record]) -> float | None:
        value: float | None = dash_b.aggregate(records)[name]
        return value

    return score


accuracy, tnr, tpr, harmonic_mean, yes_ratio, unparsed_count = map(_score, NAMES)

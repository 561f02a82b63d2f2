"""What a multiple-choice task calls: one record an answer, and the scores of all records.

A document needs ``answer`` (the right letter), ``options``, ``image_id``, and the number of its set.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring.choices import Sets

__all__ = ["processor", "scores"]

Record = Mapping[str, Any]


def _names(sets: Sets) -> tuple[str, ...]:
    return (sets.score, "accuracy", "unparsed_count")


def processor(sets: Sets, policy: str) -> Callable[[Mapping[str, Any], list[str]], dict[str, Record]]:
    """The task's ``process_results``: the answer's record under every metric."""

    def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
        found = sets.record(results[0], doc["answer"], doc["options"], doc[sets.key], policy)
        record = {"image_id": doc["image_id"], **found}
        return dict.fromkeys(_names(sets), record)

    return process_results


def scores(sets: Sets) -> Iterable[Callable[[Iterable[Record]], float | None]]:
    """The task's aggregations: of whole sets, of their single answers, and of answers that were not read."""

    def score(name: str) -> Callable[[Iterable[Record]], float | None]:
        def of(records: Iterable[Record]) -> float | None:
            whole, rest = sets.whole(records)
            if rest and name == sets.score:
                warnings.warn(
                    f"{len(rest)} question(s) of sets that are not whole left out; use a --limit that is a multiple of "
                    f"{sets.size}",
                    stacklevel=2,
                )
            value: float | None = sets.aggregate(whole)[name]
            return value

        return of

    return map(score, _names(sets))

"""What a POPE task's YAML calls: one record an answer, and the scores of all records.

A document needs ``answer`` ("yes" or "no") and ``image_id``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import pope, yesno

Record = Mapping[str, Any]


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under every metric."""
    record = {"image_id": doc["image_id"], **pope.record(results[0], doc["answer"])}
    return dict.fromkeys([*pope.STATISTICS, "f1_pooled", "unparsed_count", "by_default_count"], record)


def process_relabelled(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """`process_results` for a question with RePOPE's label."""
    return {metric: {**record, "relabelled": 1} for metric, record in process_results(doc, results).items()}


def _score(name: str) -> Callable[[Iterable[Record]], float | None]:
    def score(records: Iterable[Record]) -> float | None:
        value: float | None = pope.aggregate(records)[name]
        return value

    return score


accuracy, precision, recall, f1, yes_ratio = map(_score, pope.STATISTICS)
unparsed_count = _score("unparsed_count")


def by_default_count(records: Iterable[Record]) -> int:
    """How many answers the policy decided by its default; a warning where they are more than a few."""
    result = pope.aggregate(records)
    count: int = result["by_default_count"]
    said = yesno.caution({"answers": (count, result["questions_count"])}, str(result["policy"]), default=True)
    if said and said[0]:
        warnings.warn(f"POPE: {said[1]}", stacklevel=2)
    return count


class PooledF1(float):
    """F1 that remembers the counts it is made of, so that a group can add them up."""

    counts: tuple[int, int]


def f1_pooled(records: Iterable[Record]) -> float | None:
    """F1 of one strategy; of a group, through `pool`, that of all its questions together."""
    listed = list(records)
    hits = sum(record["true_positive"] for record in listed)
    return _pooled(hits, sum(record["predicted_yes"] + record["labelled_yes"] for record in listed))


def pool(scores: Iterable[PooledF1], sizes: object, weight_by_size: object) -> float | None:
    """A group's pooled F1 from the `f1_pooled` of its tasks; lmms-eval gives the other two."""
    counts = [score.counts for score in scores]
    return _pooled(sum(hits for hits, _ in counts), sum(said for _, said in counts))


def _pooled(hits: int, said: int) -> PooledF1 | None:
    if not said:
        return None
    score = PooledF1(200 * hits / said)
    score.counts = hits, said
    return score


def mean(scores: Iterable[float | None], sizes: object, weight_by_size: object) -> float | None:
    """A group's mean over its tasks, each counting the same; ``None`` where one has no score."""
    values = list(scores)
    return None if None in values else sum(value for value in values if value is not None) / len(values)


def total(counts: Iterable[int], sizes: object, weight_by_size: object) -> int:
    """A group's sum of its tasks' counts."""
    return sum(counts)

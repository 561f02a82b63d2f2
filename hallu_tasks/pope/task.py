"""What a POPE task's YAML calls: one record an answer, and the scores of all records.

A document needs ``question``, ``answer`` ("yes" or "no") and ``image_id``; a YAML adds the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import pope

Record = Mapping[str, Any]


def prompt(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    return str(doc["question"])


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under every metric."""
    record = {"image_id": doc["image_id"], **pope.record(results[0], doc["answer"])}
    return dict.fromkeys([*pope.STATISTICS, "unparsed_count"], record)


def _score(name: str) -> Callable[[Iterable[Record]], float | None]:
    def score(records: Iterable[Record]) -> float | None:
        value: float | None = pope.aggregate(records)[name]
        return value

    return score


accuracy, precision, recall, f1, yes_ratio = map(_score, pope.STATISTICS)
unparsed_count = _score("unparsed_count")

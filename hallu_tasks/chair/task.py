"""What a CHAIR task's YAML calls: one record a caption, and the scores of all records.

A document needs ``image_id`` and ``objects``, the COCO categories that are in the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import chair

Record = Mapping[str, Any]


def prompt(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    return (lmms_eval_specific_kwargs or {})["prompt"]


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The caption's record under every metric, the objects themselves under ``chair_i``."""
    record = {"image_id": doc["image_id"], **chair.record(results[0], doc["objects"])}
    named = chair.objects(results[0])
    wrong = [name for name in named if name not in doc["objects"]]
    records: dict[str, Record] = dict.fromkeys(chair.STATISTICS, record)
    return {**records, "chair_i": {**record, "objects": named, "hallucinated_objects": wrong}}


def _score(name: str) -> Callable[[Iterable[Record]], float | None]:
    def score(records: Iterable[Record]) -> float | None:
        value: float | None = chair.aggregate(records)[name]
        return value

    return score


chair_s, chair_i, recall, precision, f1, mean_length, mean_mentions = map(_score, chair.STATISTICS)

"""What an MME task's YAML calls: one record an answer, and points per subtask.

A document needs ``question``, ``answer``, ``image_id`` and ``category`` (the subtask); a YAML adds the image.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import mme

Record = Mapping[str, Any]


def prompt(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    return str(doc["question"])


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under its subtask's metric only."""
    record = {
        "image": doc["image_id"],
        "category": doc["category"],
        "question": doc["question"],
        "answer": doc["answer"],
        "prediction": results[0],
    }
    return {doc["category"]: record}


def _points(subtask: str) -> Callable[[Iterable[Record]], float | None]:
    def points(records: Iterable[Record]) -> float | None:
        whole, alone = mme.whole_pairs(records)
        if alone:
            warnings.warn(f"MME: {len(alone)} question(s) without partner left out; use an even --limit", stacklevel=2)
        value: float | None = mme.score(whole)["subtasks"][subtask]["score"]
        return value

    return points


existence, count, position, color = map(_points, mme.HALLUCINATION)

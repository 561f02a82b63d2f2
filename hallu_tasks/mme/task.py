"""What an MME task's YAML calls: one record an answer, and points per subtask and total.

A document needs ``question``, ``answer``, ``image_id`` and ``category`` (the subtask).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import mme, yesno

Record = Mapping[str, Any]


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under its subtask's metric, and for the count of unparsed answers."""
    return _records(doc, results, ())


def process_hallucination(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under its subtask's metric, and under the total of the hallucination subset."""
    return _records(doc, results, ("hallucination",))


def process_every(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record under its subtask's metric, and under the totals that the subtask belongs to."""
    return _records(doc, results, tuple(mme.TOTALS))


def _records(doc: Mapping[str, Any], results: list[str], totals: tuple[str, ...]) -> dict[str, Record]:
    record = {
        "image": doc["image_id"],
        "category": doc["category"],
        "question": doc["question"],
        "answer": doc["answer"],
        "prediction": results[0],
    }
    summed = (name for name in totals if doc["category"] in mme.TOTALS[name])
    return dict.fromkeys([doc["category"], *summed, "unparsed_count"], record)


def _points(name: str) -> Callable[[Iterable[Record]], float | None]:
    def points(records: Iterable[Record]) -> float | None:
        whole, alone = mme.whole_pairs(records)
        if alone and name in mme.SUBTASKS:
            warnings.warn(f"MME: {len(alone)} question(s) without partner left out; use an even --limit", stacklevel=2)
        result = mme.score(whole)
        value: float | None = result[name] if name in mme.TOTALS else result["subtasks"][name]["score"]
        return value

    return points


existence, count, position, color, posters, celebrity, scene, landmark, artwork, OCR = map(_points, mme.PERCEPTION)
commonsense_reasoning, numerical_calculation, text_translation, code_reasoning = map(_points, mme.COGNITION)
perception, cognition, hallucination = map(_points, mme.TOTALS)


def unparsed_count(records: Iterable[Record]) -> int:
    """How many answers are neither yes nor no to the benchmark's rule, and so wrong."""
    return sum(yesno.parse(record["prediction"], mme.POLICY) is None for record in records)

"""What TextVQA's tasks call: the prompt with OCR tokens, one record an answer, and the score of all records.

A document needs ``question``, ``answers`` (ten), ``image_id`` and ``ocr_tokens``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import textvqa

Record = Mapping[str, Any]


def question_with_tokens(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    """The question, the OCR tokens of the image on a line of their own, and the task's ``post_prompt``."""
    given = lmms_eval_specific_kwargs or {}
    tokens = ", ".join(doc["ocr_tokens"])
    return f"{doc['question']}\nReference OCR token: {tokens}{given.get('post_prompt', '')}"


def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, Record]:
    """The answer's record."""
    return {"accuracy": {"image_id": doc["image_id"], **textvqa.record(results[0], doc["answers"])}}


def accuracy(records: Iterable[Record]) -> float | None:
    """VQA accuracy in percent."""
    value: float | None = textvqa.aggregate(records)["accuracy"]
    return value

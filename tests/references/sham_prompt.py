"""sham_prompt: the plain model, asked with a sentence behind the question."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hallu_models import processing
from hallu_models.conversations import conversation
from hallu_models.testing import Row, questions
from hallu_models.testing.dense_row import extended, forward


def reference(method: Any, row: Row) -> Tensor:
    picture, question = questions.ROWS[row.number]
    asked = dict(processing.encode(row.host, [conversation(picture, f"{question} {method.sentence}")]))
    return forward(row.host, extended(asked, row.answer))[asked["input_ids"].shape[1] - 1 : -1]

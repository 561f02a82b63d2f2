"""ICD: the role is the system text of a second prompt; InstructBLIP's Q-Former is told the role alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models import processing
from hallu_models.conversations import conversation
from hallu_models.testing import Row, questions
from hallu_models.testing.dense_row import extended, forward


def reference(method: Any, row: Row) -> Tensor:
    picture, question = questions.ROWS[row.number]
    role = {"role": "system", "content": method.role}
    other = dict(processing.encode(row.host, [[role, *conversation(picture, question)]]))
    if "qformer_input_ids" in other:
        alone = processing.encode(row.host, [conversation(picture, method.role)])
        other = {**row.inputs, **{name: alone[name] for name in alone if name.startswith("qformer")}}
    length = other["input_ids"].shape[1]
    main = row.answers(forward(row.host, row.extended))
    negative = forward(row.host, extended(other, row.answer))[length - 1 : -1]
    combined = (1 + method.alpha) * main - method.alpha * negative
    implausible = main.softmax(-1) < method.beta * main.softmax(-1).amax(-1, True)
    return torch.where(implausible, -torch.inf, combined)

"""AGLA on one row: the prompt with its image, and with what is left of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    main = row.answers(row.forward())
    likely = main.softmax(dim=-1)
    added = main + method.alpha * row.forward_other()
    return added.masked_fill(likely < method.beta * likely.amax(dim=-1, keepdim=True), -torch.inf)

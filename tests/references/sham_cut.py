"""sham_cut: no contrast, its constraint alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    own = row.answers(row.forward())
    likely = own.softmax(-1)
    return torch.where(likely < method.beta * likely.amax(-1, True), -torch.inf, own)

"""sham_negative: VCD's formula with the prediction under noise in the place of the negative one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row
from references._draws import draws


def reference(method: Any, row: Row) -> Tensor:
    found = []
    for step, own in enumerate(row.answers(row.forward())):
        negative = own + method.sigma * draws(row, method.draw, step, len(own))
        combined = (1 + method.alpha) * own - method.alpha * negative
        found.append(torch.where(own.softmax(-1) < method.beta * own.softmax(-1).max(), -torch.inf, combined))
    return torch.stack(found)

"""M3ID: the prompt's text alone is a second branch, and its weight grows with every token."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    found = []
    for step, (own, other) in enumerate(zip(row.answers(row.forward()), row.forward_without_image())):
        gamma = math.exp(-method.lam * (step + method.t0))
        p, q = own.softmax(-1), other.softmax(-1)
        combined = p.log() + (1 - gamma) / gamma * (p.log() - q.log())
        combined[p < method.beta * p.max()] = -torch.inf
        found.append(own if p.max() > method.confident else combined)
    return torch.stack(found)

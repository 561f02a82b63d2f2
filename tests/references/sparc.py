"""SPARC: the answer read token by token, each under the factors that the tokens before it have left.

A value times a factor is the attention times that factor, and each row of the dense map has factors of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    selecting = int(method.selection_layer)
    scaled = method.hook_layers("values", row.host.depth)
    tokens = row.last.nonzero()[:, 0].tolist()
    factors = {position: torch.ones(int(row.image.sum())) for position in tokens}
    average = torch.zeros(0)
    logits = torch.zeros(0)
    for step, position in enumerate(tokens):
        seen: dict[int, Tensor] = {}

        def attend(layer: int, scores: Tensor, here: int = position, seen: dict[int, Tensor] = seen) -> Tensor:
            attention = scores.softmax(dim=-1)
            seen[layer] = attention[:, here, row.image].mean(dim=0)
            if layer in scaled:
                for one, factor in factors.items():
                    attention[:, one, row.image] *= factor
            return attention

        logits = row.forward(attend)
        looked = seen[selecting]
        louder = factors[position].clone()
        if step:
            for token, (now, before) in enumerate(zip(looked.tolist(), average.tolist())):
                if before and (now - before) / before >= method.tau:
                    louder[token] *= method.alpha
            looked = (1 - method.beta) * looked + method.beta * average
        average = looked
        if position + 1 in factors:
            factors[position + 1] = louder
    return logits

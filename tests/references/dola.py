"""DoLa by its equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    final, states = row.answers(row.forward()), [row.embedded(), *row.handed_on()]
    # Counted as the paper does, the embeddings are 0.
    numbers = [0] * (method.half == "lower") + [layer + 1 for layer in method.layer_list(row.host.depth)]
    early = [row.answers(row.logits_of(states[number], normed=False)) for number in numbers]
    return torch.stack(
        [contrasted(method, final[step], [logits[step] for logits in early]) for step in range(len(final))]
    )


def contrasted(method: Any, final: Tensor, early: list[Tensor]) -> Tensor:
    p = final.softmax(-1)
    distances = []
    for logits in early:
        q = logits.softmax(-1)
        m = (p + q) / 2
        if method.variant == "official":
            distances.append(float(divergence(m, p) + divergence(m, q)))
        else:
            distances.append(float(divergence(p, m) + divergence(q, m)))
    furthest = early[distances.index(max(distances))]
    made = final.log_softmax(-1) - furthest.log_softmax(-1)
    return torch.where(p < method.beta * p.max(), -torch.inf, made)


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Kullback-Leibler, in double precision for what is nearly impossible."""
    first, second = first.double(), second.double().clamp(min=1e-300)
    return torch.where(first > 0, first * (first.clamp(min=1e-300) / second).log(), 0.0).sum()

"""DeCo by its equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    final = row.answers(row.forward())
    handed_on = row.handed_on()
    early = [row.answers(row.logits_of(handed_on[layer])) for layer in method.layer_list(row.host.depth)]
    return torch.stack(
        [corrected(method, final[step], [logits[step] for logits in early]) for step in range(len(final))]
    )


def corrected(method: Any, final: Tensor, early: list[Tensor]) -> Tensor:
    order = final.softmax(-1).argsort(descending=True).tolist()
    candidates: list[int] = []
    while len(candidates) < method.candidates and float(final.softmax(-1)[candidates].sum()) < method.mass:
        candidates.append(order[len(candidates)])
    certainty, chosen = max(
        ((float(logits.softmax(-1)[candidates].max()), logits) for logits in early), key=lambda pair: pair[0]
    )
    made = torch.full_like(final, -torch.inf)
    for token in candidates:
        made[token] = final[token] + method.alpha * certainty * chosen[token]
    return made

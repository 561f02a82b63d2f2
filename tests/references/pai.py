"""PAI: scores on the image plus a share of their size, and a contrast with the text alone."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    layers = method.layer_list(row.host.depth)

    def attend(layer: int, scores: Tensor) -> Tensor:
        edited = scores.clone()
        for position in row.last.nonzero()[:, 0].tolist():
            skipped = method.variant == "official" and method.gamma != 1 and position == row.prompt - 1
            if layer in layers and not skipped:
                for column in row.image.nonzero()[:, 0].tolist():
                    for head, score in enumerate(scores[:, position, column].tolist()):
                        if score > -math.inf:
                            edited[head, position, column] = score + method.alpha * abs(score)
        return edited.softmax(dim=-1)

    sees = row.answers(row.forward(attend))
    if method.gamma == 1:
        return sees
    likely, alone = sees.log_softmax(dim=-1), row.forward_without_image().log_softmax(dim=-1)
    guided = method.gamma * (likely - alone) + alone
    return torch.where(likely < likely.amax(dim=-1, keepdim=True) + math.log(method.beta), -math.inf, guided)

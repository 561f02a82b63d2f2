"""TARAC: token by token, the image attention so far with a decay, added to the attention of the current one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    layers = method.layer_list(row.host.depth)

    def attend(layer: int, scores: Tensor) -> Tensor:
        attention = scores.softmax(dim=-1)
        if layer not in layers:
            return attention
        edited = attention.clone()
        memory = torch.zeros(len(attention), int(row.image.sum()))
        for position in row.last.nonzero()[:, 0].tolist():
            looked = attention[:, position, row.image]
            if method.memory == "layer":
                looked = looked.mean(dim=0).expand_as(looked)
            memory = method.beta * memory + looked
            visible = scores[:, position, row.image].isfinite()
            new = attention[:, position].clone()
            new[:, row.image] += method.alpha * memory * visible
            edited[:, position] = new / new.sum(dim=-1, keepdim=True) if method.renormalise else new
        return edited

    return row.forward(attend)

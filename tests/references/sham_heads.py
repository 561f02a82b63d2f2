"""sham_heads: half of the heads of each layer are louder, those with the larger draws."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row
from references._draws import draws


def reference(method: Any, row: Row) -> Tensor:
    def edit(layer: int, heads: Tensor) -> Tensor:
        if layer not in method.layer_list(row.host.depth):
            return heads
        ranks = draws(row, method.draw, layer, len(heads)).tolist()
        loud = sorted(range(len(heads)), key=ranks.__getitem__)[(len(heads) + 1) // 2 :]
        factor = torch.tensor([method.alpha if head in loud else 1.0 for head in range(len(heads))])
        return heads * factor[:, None, None]

    return row.forward(heads=edit)

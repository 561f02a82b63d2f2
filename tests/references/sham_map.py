"""sham_map: the map of the head with the largest draw for all heads, in the prompt's rows, if any head has a sink."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hallu_models.testing import Row
from references._draws import draws


def reference(method: Any, row: Row) -> Tensor:
    length = row.prompt

    def attend(layer: int, scores: Tensor) -> Tensor:
        weights = scores.softmax(dim=-1)
        if layer in method.layer_list(row.host.depth):
            prompt = weights[:, :length, :length]
            image = [c for c in range(length - 1) if row.image[c]]
            if any(float(head[c + 1 :, c].mean()) > method.beta for head in prompt for c in image):
                chosen = int(draws(row, method.draw, layer, len(weights)).argmax())
                weights[:, :length] = weights[chosen, :length].clone()
        return weights

    return row.forward(attend)

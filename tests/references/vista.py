"""VISTA by its equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.interventions import layers
from hallu_models.testing import Row
from hallu_models.testing.dense_row import forward


def reference(method: Any, row: Row) -> Tensor:
    chosen = method.layer_list(row.host.depth)
    sees = [states[row.prompt - 1] for states in row.handed_on()]
    blind: list[Tensor] = []

    def collect(layer: int, states: Tensor) -> Tensor:
        blind.append(states[-1])
        return states

    forward(row.host, row.without_image(), hidden={"layer_output": collect})

    def steer(layer: int, states: Tensor) -> Tensor:
        if layer not in chosen:
            return states
        v = sees[layer] - blind[layer]
        if v.norm() < 1e-6 * sees[layer].norm():
            return states  # a window that does not reach the image
        made = []
        for x in states:
            cosine = float(torch.dot(x, -v) / (x.norm() * v.norm()))
            y = x / x.norm() + method.lam * (1 + max(0.0, cosine)) * v / v.norm()
            made.append(x.norm() * y / y.norm())
        return torch.stack(made)

    edits = {"feed_forward_output": steer}
    final, handed_on = row.forward(hidden=edits), row.handed_on(edits)
    lens = layers.resolve(method.lens_layers, row.host.depth)
    early = [row.logits_of(handed_on[layer], normed=False) for layer in lens]
    return (1 - method.gamma) * final + method.gamma * sum(early) / len(early)

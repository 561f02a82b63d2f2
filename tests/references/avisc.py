"""AvisC: layers and blind tokens of one row, found one after another."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hallu_models.testing import Row
from hallu_models.testing.dense_row import forward


def reference(method: Any, row: Row) -> Tensor:
    layers = method.layer_list(row.host.depth)
    by_layer: dict[int, list[float]] = {}

    def attend(layer: int, scores: Tensor) -> Tensor:
        weights = scores.softmax(dim=-1)
        if layer in layers:
            by_layer[layer] = weights[:, -1, row.columns].mean(dim=0).tolist()
        return weights

    forward(row.host, row.inputs, attend)
    total, held, chosen = sum(map(sum, by_layer.values())), 0.0, []
    for layer in sorted(layers, key=lambda one: -sum(by_layer[one])):
        if held < method.gamma:
            chosen.append(layer)
        held += sum(by_layer[layer]) / total
    attention = [
        sum(by_layer[layer][token] for layer in chosen) / len(chosen) for token in range(len(by_layer[layers[0]]))
    ]
    mean = sum(attention) / len(attention)
    spread = math.sqrt(sum((one - mean) ** 2 for one in attention) / (len(attention) - 1))
    blind = torch.tensor([one >= mean + method.lam * spread for one in attention])

    def remove(arguments: dict[str, Any]) -> None:
        rows = arguments["inputs_embeds"].clone()
        rows[0, row.columns.nonzero()[:, 0][~blind]] = {"zeros": 0.0, "ones": 1.0}[method.mask]
        arguments["inputs_embeds"] = rows
        if arguments.get("deepstack_visual_embeds") is not None:
            features = [feature * blind[:, None] for feature in arguments["deepstack_visual_embeds"]]
            arguments["deepstack_visual_embeds"] = features

    main = row.answers(row.forward())
    negative = row.answers(forward(row.host, row.extended, before=remove))
    combined = (1 + method.alpha) * main - method.alpha * negative
    implausible = main.softmax(-1) < method.beta * main.softmax(-1).amax(-1, True)
    return torch.where(implausible, -torch.inf, combined)

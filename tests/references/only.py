"""ONLY by its equations, on models whose layers are Llama's: two norms, attention, a feed-forward block behind it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hallu_models.hosts import parts
from hallu_models.testing import Row


def reference(method: Any, row: Row) -> Tensor:
    (chosen,), host = method.layer_list(row.host.depth), row.host
    weights: dict[int, Tensor] = {}
    values: dict[int, Tensor] = {}

    def attend(layer: int, scores: Tensor) -> Tensor:
        weights[layer] = scores.softmax(-1)
        return weights[layer]

    final = row.forward(attend, values=lambda layer, states: values.setdefault(layer, states))
    handed_on = row.handed_on()
    last = parts.layer_of(host.decoder, host.attention[-1])
    text = handed_on[-1].clone()
    for column in row.last.nonzero()[:, 0].tolist():
        a = dominated(weights[chosen][:, column], row, column)
        heads = torch.stack([head @ value for head, value in zip(a, values[chosen])])
        g = host.attention[chosen].o_proj(heads.flatten()[None])
        x = last.input_layernorm(g) + method.stream * handed_on[-2][column]
        x = x + last.mlp(last.post_attention_layernorm(x)[None])[0]
        text[column] = (host.decoder.norm(x) + method.final * host.decoder.norm(handed_on[-1][column]))[0]
    of_text = row.logits_of(text.detach(), normed=False)
    return torch.stack([combined(method, *pair) for pair in zip(row.answers(final), row.answers(of_text))])


def dominated(attention: Tensor, row: Row, column: int) -> Tensor:
    made = attention.clone()
    image = [c for c in range(column + 1) if row.image[c]]
    text = [c for c in range(1, column + 1) if not row.image[c]]
    ratios = []
    for head in range(len(made)):
        entropies = []
        for columns in (text, image):
            own = made[head, columns]
            own = torch.where(own > own.mean() + own.std(), 0.0, own)
            made[head, columns] = own
            p = own / own.sum()
            entropies.append(-(p * (p + 1e-6).log()).sum())
        ratios.append(entropies[0] / entropies[1])
    for head, ratio in enumerate(ratios):
        if ratio < torch.stack(ratios).mean():
            made[head] = 0.0
    return made


def combined(method: Any, final: Tensor, text: Tensor) -> Tensor:
    p = final.softmax(-1)
    if (p - text.softmax(-1)).abs().sum() < method.theta:
        made = final + method.alpha_agree * text
    else:
        made = (1 + method.alpha_differ) * final - method.alpha_differ * text
    return torch.where(p < method.beta * p.max(), -torch.inf, made)

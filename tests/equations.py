"""Methods as their papers state them, on one prompt of any model: no batch, no cache, every attention map in full.

The model under test computes its own queries, keys and values, so rotary sections, norms of queries and keys, windows
and two-way masks are the family's; what a method makes of them is written out here.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from test_core_methods import ad_hh_attention, contrast_of, dleaf_attention, sevi_attention
from torch import Tensor

from hallu_models import processing
from hallu_models.conversations import conversation
from hallu_models.interventions.ad_hh import listed
from hallu_models.testing import questions
from hallu_models.testing.dense_row import Row, extended, forward


def vhr(prompt: Row, layers: tuple[int, ...], alpha: float) -> Tensor:
    """Half of the heads of each layer, chosen at the last prompt position, alpha times as loud."""
    textual: dict[int, Tensor] = {}

    def collect(layer: int, heads: Tensor) -> Tensor:
        textual[layer] = heads[:, -1]
        return heads

    forward(prompt.host, prompt.without_image(), edit=collect)

    def edit(layer: int, heads: Tensor) -> Tensor:
        if layer not in layers:
            return heads
        distance = [float((a - b).norm()) for a, b in zip(heads[:, prompt.prompt - 1], textual[layer])]
        energy = [float(b.square().sum()) for b in textual[layer]]
        limits = [_mean(values) + _spread(values) for values in (distance, energy)]
        distance = [0.0 if d > limits[0] and e > limits[1] else d for d, e in zip(distance, energy)]
        middle = sorted(distance)[(len(distance) - 1) // 2]
        loud = torch.tensor([alpha if d > middle else 1.0 for d in distance])
        return heads * loud[:, None, None]

    return forward(prompt.host, prompt.extended, edit=edit)


def eah(prompt: Row, layers: tuple[int, ...], beta: float) -> Tensor:
    """The map with the most vision sinks for all heads, in the prompt's rows."""
    length = prompt.prompt

    def attend(layer: int, scores: Tensor) -> Tensor:
        weights = scores.softmax(dim=-1)
        if layer in layers:
            sinks = [
                sum(float(head[c + 1 :, c].mean()) > beta for c in range(length - 1) if prompt.image[c])
                for head in weights[:, :length, :length]
            ]
            if max(sinks):
                weights[:, :length] = weights[sinks.index(max(sinks)), :length].clone()
        return weights

    return forward(prompt.host, prompt.extended, attend)


def ad_hh(prompt: Row, heads: list[tuple[int, int]], threshold: float) -> Tensor:
    return forward(prompt.host, prompt.extended, ad_hh_attention(prompt, heads, threshold))


def dleaf(prompt: Row, layers: tuple[int, ...], gamma: float, k: float) -> Tensor:
    return forward(prompt.host, prompt.extended, dleaf_attention(prompt, gamma, "running", "mean", k, layers))


def sevi(prompt: Row, layers: tuple[int, ...], omega: float, others: str) -> Tensor:
    return forward(prompt.host, prompt.extended, sevi_attention(prompt, omega, 0.2, others, layers))


def contrasted(main: Tensor, other: Tensor, prompt: Row, of_other: int, beta: float) -> Tensor:
    """CICD's logits (T, V) for the answer's tokens, from (L, V) of both branches."""
    return torch.stack(
        [
            contrast_of(main[prompt.prompt - 1 + step], other[of_other - 1 + step], beta)
            for step in range(len(prompt.answer))
        ]
    )


def iava(prompt: Row, general: dict[str, Any], layers: tuple[int, ...], share: float, lam: float) -> Tensor | None:
    """Logits (L, V) of the pseudo-image branch; None where no token is kept."""
    first = _image_attention(prompt, general, layers)
    second = _image_attention(prompt, prompt.inputs, layers)
    drop = [float(a - b) for a, b in zip(first, second)]
    largest = sorted(drop, reverse=True)[: round(share * len(drop))]
    bound = float(first.mean() + lam * first.std(correction=0))
    kept = torch.tensor([d > 0 and d in largest and float(a) > bound for d, a in zip(drop, first)])
    if not bool(kept.any()):
        return None

    def remove(arguments: dict[str, Any]) -> None:
        rows = arguments["inputs_embeds"].clone()
        rows[0, prompt.columns.nonzero()[:, 0][~kept]] = 0
        arguments["inputs_embeds"] = rows
        if arguments.get("deepstack_visual_embeds") is not None:
            features = [feature * kept[:, None] for feature in arguments["deepstack_visual_embeds"]]
            arguments["deepstack_visual_embeds"] = features

    return forward(prompt.host, prompt.extended, before=remove)


def _image_attention(prompt: Row, inputs: dict[str, Any], layers: tuple[int, ...]) -> Tensor:
    image = torch.isin(inputs["input_ids"][0], torch.tensor(sorted(prompt.host.image_tokens)))
    found = []

    def attend(layer: int, scores: Tensor) -> Tensor:
        weights = scores.softmax(dim=-1)
        if layer in layers:
            found.append(weights[:, -1, image].mean(dim=0))
        return weights

    forward(prompt.host, inputs, attend)
    return torch.stack(found).mean(dim=0)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _spread(values: list[float]) -> float:
    mean = _mean(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _cicd(method: Any, row: Row) -> Tensor:
    main = forward(row.host, row.extended)
    return _with_other(main, method.beta, row)


def _sevi(method: Any, row: Row) -> Tensor:
    layers = method.layer_list(row.host.depth)
    return _with_other(sevi(row, layers, method.omega, method.others), method.beta, row)


def _with_other(main: Tensor, beta: float, row: Row) -> Tensor:
    other = forward(row.host, extended(row.other, row.answer))
    return contrasted(main, other, row, row.other["input_ids"].shape[1], beta)


def _iava(method: Any, row: Row) -> Tensor:
    asked = conversation(questions.ROWS[row.number][0], method.instruction)
    general = dict(processing.encode(row.host, [asked]))
    main = row.answers(forward(row.host, row.extended))
    other = iava(row, general, method.layer_list(row.host.depth), method.i, method.lam)
    if other is None:
        return main
    combined = (1 + method.alpha) * main - method.alpha * row.answers(other)
    implausible = main.softmax(-1) < method.beta * main.softmax(-1).amax(-1, True)
    return torch.where(implausible, -torch.inf, combined)


def _layers(method: Any, row: Row) -> tuple[int, ...]:
    return method.layer_list(row.host.depth)


REFERENCES: dict[str, Callable[[Any, Row], Tensor]] = {
    "vhr": lambda method, row: vhr(row, _layers(method, row), method.alpha),
    "eah": lambda method, row: eah(row, _layers(method, row), method.beta),
    "ad_hh": lambda method, row: ad_hh(row, listed(method.heads), method.threshold),
    "dleaf": lambda method, row: dleaf(row, _layers(method, row), method.gamma, method.k),
    "cicd": _cicd,
    "sevi": _sevi,
    "iava": _iava,
}
WHOLE = tuple(REFERENCES)
"""Methods that are tried in full on several families, in every run of the tests."""

REFERENCES |= {
    file.stem: importlib.import_module(f"references.{file.stem}").reference
    for file in sorted(Path(__file__).with_name("references").glob("[!_]*.py"))
}
"""By method: those above, and those that have a file of their own in ``references``."""

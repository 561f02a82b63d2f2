"""DoLa: Decoding by Contrasting Layers (arXiv 2309.03883; ICLR 2024).

What a language model knows shows late: from some layer on its prediction turns to the fact. The layer whose prediction
is furthest from the final one is taken for the state before that, and is subtracted.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import (
    EMBEDDINGS,
    Intervention,
    LogitsStep,
    jensen_shannon,
    layers,
    plausible,
    reversed_divergence,
)

LONG = 40
"""Layers above which a half is no longer looked into, but 20 layers at its end."""


@dataclass(frozen=True)
class DoLa(Intervention):
    """Contrast with the early layer that predicts most differently, among the tokens that stay plausible.

    half: "upper", every second layer of the upper half; or "lower", the embeddings and every second layer of the lower
    half. layers: other layers in the place of these; none is the plain model, unless half=lower keeps the embeddings.
    beta: plausibility. variant: "paper", the layer with the largest Jensen-Shannon divergence; "official", the released
    code's, in which both of its halves are taken the other way round.
    """

    name: ClassVar[str] = "dola"

    half: Literal["upper", "lower"] = "upper"
    beta: float = 0.1
    variant: Literal["paper", "official"] = "paper"

    def bind(self, family: str | None, depth: int) -> DoLa:
        if self.layers == layers.AUTO:
            return dataclasses.replace(self, layers=layers.spell(half_of(depth, self.half)))
        return super().bind(family, depth)

    def layer_rule(self, family: str | None) -> str:
        return self.layers

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (EMBEDDINGS,) * (self.half == "lower") + self.layer_list(depth)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        if not at.layers:
            return logits
        final = logits.log_softmax(dim=-1)
        early = at.early(at.layers, normed=False).log_softmax(dim=-1)
        apart = reversed_divergence if self.variant == "official" else jensen_shannon
        furthest, place = apart(logits[:, None], early).max(dim=-1)  # (B,)
        if at.record:
            at.record("layer", torch.tensor(at.layers, device=place.device)[place])
            at.record("divergence", furthest)
        chosen = early[torch.arange(len(early), device=early.device), place]
        return plausible(final - chosen, logits, self.beta)


def half_of(depth: int, half: str) -> list[int]:
    """The released lists, which count the embeddings as 0, as layers counted from 0; the embeddings are left out."""
    first, last = (0, min(depth, LONG) // 2) if half == "lower" else (max(depth // 2, depth - LONG // 2), depth)
    return [number - 1 for number in range(first, last, 2) if number]

"""EAH: Enhancing Attention Heads ("Seeing Clearly by Layer Two", arXiv 2411.09968; EVAS, EMNLP 2025).

In a shallow layer some heads gather much attention on many image columns: vision sinks. The map of the head with the
most of them is handed to every head of that layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import Columns, Intervention, LayerStep, Maps
from hallu_models.interventions import layers as layer_lists

PAPER_BETA, OFFICIAL_BETA, OFFICIAL_LAYERS = 0.002, 0.0008, "15"


@dataclass(frozen=True)
class EAH(Intervention):
    """Copy the attention map with the most vision sinks to all heads, in the prefill.

    beta: a column is a sink if later rows give it more than this on average; infinity is the plain model; "auto" is one
        over the number of prompt tokens (ours: a uniform causal row puts about that on each column).
    variant: "paper"; or "official", what the released code does whatever it is told: layer 15 alone with a beta of
        0.0008, in the place of the default layers and beta.
    """

    name: ClassVar[str] = "eah"

    beta: float | Literal["auto"] = PAPER_BETA
    variant: Literal["paper", "official"] = "paper"

    def bind(self, family: str | None, depth: int) -> EAH:
        bound = super().bind(family, depth)
        official = self.variant == "official" and self.beta == PAPER_BETA
        return replace(bound, beta=OFFICIAL_BETA) if official else bound

    def layer_rule(self, family: str | None) -> str:
        official = self.variant == "official" and self.layers == layer_lists.AUTO
        return OFFICIAL_LAYERS if official else super().layer_rule(family)

    def maps(self, maps: Maps, outputs: Tensor, at: LayerStep) -> Tensor:
        density = self.density(maps, at.columns)
        most, head = density.amax(dim=1), self.chosen(density, at)
        if at.record:
            at.record("density", density, "head")
            at.record("chosen_head", torch.where(most > 0, head, -1))
        # Decode steps stay as they are: later layers' cached keys and values carry the effect.
        edited, without_sinks = maps.outputs(head), most == 0
        edited[without_sinks] = outputs[without_sinks]
        return edited

    def chosen(self, density: Tensor, at: LayerStep) -> Tensor:
        """Head (B,) whose map all heads of a row are given, from the density (B, H) of vision sinks."""
        return density.argmax(dim=1)

    def density(self, maps: Maps, columns: Columns) -> Tensor:
        """Share (B, H) of the image columns whose mean attention exceeds beta: the vision sinks."""
        beta = 1 / columns.visible.sum(dim=1, keepdim=True) if self.beta == "auto" else self.beta
        found = [((maps.column_means(head) > beta) & columns.image).sum(dim=1) for head in range(maps.heads)]
        return torch.stack(found, dim=1) / columns.image.sum(dim=1, keepdim=True).clamp(min=1)

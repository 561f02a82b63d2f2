"""SPARC: Selective Progressive Attention ReCalibration (ICML 2025, arXiv 2502.01419).

An image token that suddenly gets much more attention than it did so far is what the sentence is about. From then on it
speaks a little louder in every layer, and louder still whenever it is selected again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import BadArgument, Intervention, LayerStep
from hallu_models.interventions import layers as layer_lists

LOUDEST = 1000.0
"""Where a factor that is multiplied again and again stops: values times more would leave half precision's range."""


@dataclass(frozen=True)
class SPARC(Intervention):
    """Scale the values of image tokens whose attention rises, selected in one layer, in all of ``layers``.

    alpha: factor on a selected token's values, once a selection; 1 is the plain model.
    tau: a token is selected if its attention exceeds the average so far by this share of it or more.
    beta: weight of the past in that average; 0 compares with the token before.
    selection_layer: the one layer whose attention is looked at.
    """

    name: ClassVar[str] = "sparc"

    alpha: float = 1.1
    tau: float = 1.5
    beta: float = 0.1
    selection_layer: layer_lists.LayerSpec = "20/32-20/32"

    def bind(self, family: str | None, depth: int) -> SPARC:
        found = layer_lists.resolve(self.selection_layer, depth, argument="selection_layer", method=self.name)
        if len(found) != 1:
            raise BadArgument(f"sparc: selection_layer={self.selection_layer} names {len(found)} layers; give one")
        bound = super().bind(family, depth)
        return replace(bound, selection_layer=layer_lists.spell(found))

    def layer_list(self, depth: int) -> tuple[int, ...]:
        return tuple(sorted({*super().layer_list(depth), int(self.selection_layer)}))

    def hook_layers(self, hook: str, depth: int) -> tuple[int, ...]:
        return (int(self.selection_layer),) if hook == "row_attention" else super().layer_list(depth)

    def values(self, values: Tensor, at: LayerStep) -> Tensor:
        # What this forward selects, the next one scales: layers behind the selection use what it began with, too.
        scale = at.shared.setdefault("scale", at.generation.get("scale"))
        if scale is None:
            return values
        columns = at.columns
        grown = torch.nn.functional.pad(scale, (0, columns.length - scale.shape[1]), value=1.0)
        return values * grown[:, None, columns.length - columns.seen :, None].to(values)

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        columns, prompt = at.columns, at.layout.padding.shape[1]
        on_image = attention.mean(dim=1) * columns.image
        # In columns of the prompt: a window of the cache moves on, what is kept does not.
        looked = torch.nn.functional.pad(on_image, (columns.length - columns.seen, 0))[:, :prompt]
        kept = at.generation
        scale = at.shared.setdefault("scale", kept.get("scale"))
        scale = torch.ones_like(looked) if scale is None else scale.to(looked.device)
        selected = torch.zeros_like(looked, dtype=torch.bool)
        if not at.prefill:
            # No quotient: an average of nearly nothing would overflow it.
            selected = (looked - kept["average"] >= self.tau * kept["average"]) & (looked > 0)
            looked = (1 - self.beta) * looked + self.beta * kept["average"]
        kept.update(average=looked, scale=scale.where(~selected, (self.alpha * scale).clamp(max=LOUDEST)))
        if at.record:
            place, real = at.layout.image_columns()
            at.record("selected", selected.gather(1, place) & real, "image token")
            at.record("scale", kept["scale"].gather(1, place), "image token")
        return attention

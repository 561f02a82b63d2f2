"""SID: Self-Introspective Decoding (arXiv 2408.02032, ICLR 2025).

What the model says when it sees only the image tokens that matter least to it is what it makes up. A negative branch
is left with those, chosen anew at every token, and its prediction is subtracted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import BadArgument, Intervention, LayerStep, LogitsStep, Negative, Prompt, contrasted
from hallu_models.interventions import layers as layer_lists


@dataclass(frozen=True)
class SID(Intervention):
    """Contrast with rows that see the least attended image tokens alone.

    k: how many image tokens these see, a fraction of them below 1, else a count. start: first layer in which the others
    are hidden; attention is read in the layer before it. alpha: strength; 0 is the plain model. beta: plausibility.
    """

    name: ClassVar[str] = "sid"

    layers: layer_lists.LayerSpec = ""
    k: float = 0.1
    start: int = 2
    alpha: float = 1.0
    beta: float = 0.1

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.prompt, prompt.layout.has_image)

    def negative_methods(self, depth: int) -> tuple[Intervention, ...]:
        if self.start >= depth:
            raise BadArgument(f"sid: start={self.start}: the model has {depth} layers; give one from 1 to {depth - 1}")
        return (LeastAttended(f"{self.start - 1}-{depth - 1}", self.k),)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        return contrasted(logits, negative, self.alpha, self.beta)


@dataclass(frozen=True)
class LeastAttended(Intervention):
    """Of the image only the tokens that the last row attends to least are seen.

    layers: the first of them is where attention is read, in the others the other image tokens are hidden. k: as SID's.
    """

    name: ClassVar[str] = "negative rows of sid"

    k: float = 0.1

    def hook_layers(self, hook: str, depth: int) -> tuple[int, ...]:
        layers = self.layer_list(depth)
        return layers[:1] if hook == "row_attention" else layers[1:]

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        image = at.layout.columns(at.columns.length).image
        # What a sliding window does not show gets no attention.
        given = torch.nn.functional.pad(attention.mean(dim=1), (image.shape[1] - attention.shape[-1], 0))
        number = image.sum(dim=1, keepdim=True)
        kept = (self.k * number).round().clamp(min=1) if self.k < 1 else torch.full_like(number, int(self.k))
        rank = given.masked_fill(~image, math.inf).argsort(dim=1, stable=True).argsort(dim=1)
        at.shared["hidden"] = image & (rank >= kept)
        if at.record:
            columns, real = at.layout.image_columns()
            at.record("kept", (rank < kept).gather(1, columns) & real, "image token")
        return attention

    def hidden_columns(self, at: LayerStep) -> Tensor:
        hidden: Tensor = at.shared["hidden"]
        return hidden[:, -at.columns.seen :]

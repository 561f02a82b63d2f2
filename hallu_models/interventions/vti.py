"""VTI: Visual and Textual Intervention (arXiv 2410.15778; ICLR 2025).

In the decoder one direction a layer leads from the states of hallucinated captions to those of faithful ones; in the
image encoder one a layer and position leads to what stays when nearly all of a picture is hidden. What the feed-forward
blocks add is turned that way, by as much everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import Directions, Intervention, LayerStep

UNIT = 0.1
"""Of a state's length: what a strength of 1 turns by. A constant of the released code."""


@dataclass(frozen=True)
class VTI(Intervention):
    """Turn feed-forward outputs towards faithful captions, and those of the image encoder towards stable features.

    layers: edited layers of the decoder. alpha_text, alpha_image: strengths in the decoder and in the image encoder, a
    tenth of them in lengths of the state. Both 0 is the plain model. directions: the file that ``hallu calibrate
    --method vti`` writes for this model, or "random:7" for directions drawn from a seed, a control.
    """

    name: ClassVar[str] = "vti"

    alpha_text: float = 0.8
    alpha_image: float = 0.0
    directions: str = ""

    def bind(self, family: str | None, depth: int) -> VTI:
        bound = super().bind(family, depth)
        chosen = bound.layer_list(depth) if self.alpha_text else ()
        if chosen or self.alpha_image:
            Directions.of(self.directions, self.name).require(depth, chosen, encoder=self.alpha_image > 0)
        return bound

    def parameters(self) -> dict[str, Any]:
        used = self.directions and (self.alpha_text or self.alpha_image)
        digest = Directions.of(self.directions, self.name).digest if used else ""
        return {**super().parameters(), **({"directions_sha256": digest} if digest else {})}

    def encoder_layers(self, depth: int) -> tuple[int, ...]:
        return tuple(range(depth)) if self.alpha_image else ()

    def encoder_feed_forward_output(self, hidden: Tensor, layer: int) -> Tensor:
        found = Directions.of(self.directions, self.name)
        return turned(hidden, unit(found.in_encoder(layer, hidden)), UNIT * self.alpha_image)

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if self.alpha_text == 0:
            return hidden
        if "directions" not in at.generation:
            at.generation["directions"] = Directions.of(self.directions, self.name)
        towards = unit(at.generation["directions"].at(at.layer, hidden)[0])
        if at.record:
            at.record("cosine", at.layout.last_row(unit(hidden.float())) @ towards)
        return turned(hidden, towards, UNIT * self.alpha_text)


def turned(hidden: Tensor, towards: Tensor, by: float) -> Tensor:
    """Hidden states (..., D) in float32, turned along unit directions by a share of their length, which they keep."""
    states = hidden.float()
    return states.norm(dim=-1, keepdim=True) * unit(unit(states) + by * towards)


def unit(states: Tensor) -> Tensor:
    return torch.nn.functional.normalize(states, dim=-1)

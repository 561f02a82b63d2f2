"""VTI: Visual and Textual Intervention (arXiv 2410.15778; ICLR 2025), the textual half.

One direction a layer leads from the states of hallucinated captions to those of faithful ones. At every position what
the feed-forward blocks add is turned that way, by as much everywhere.
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
    """Turn feed-forward outputs towards faithful captions.

    layers: edited layers; none is the plain model. alpha_text: strength, a tenth of it in lengths of the state; 0 is
    the plain model. directions: the file that ``hallu calibrate --method vti`` writes for this model, or "random:7" for
    directions drawn from a seed, a control.
    """

    name: ClassVar[str] = "vti"

    alpha_text: float = 0.8
    directions: str = ""

    def bind(self, family: str | None, depth: int) -> VTI:
        bound = super().bind(family, depth)
        if self.alpha_text and (chosen := bound.layer_list(depth)):
            Directions.of(self.directions, self.name).require(depth, chosen)
        return bound

    def parameters(self) -> dict[str, Any]:
        digest = Directions.of(self.directions, self.name).digest if self.directions and self.alpha_text else ""
        return {**super().parameters(), **({"directions_sha256": digest} if digest else {})}

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if self.alpha_text == 0:
            return hidden
        if "directions" not in at.generation:
            at.generation["directions"] = Directions.of(self.directions, self.name)
        towards = torch.nn.functional.normalize(at.generation["directions"].at(at.layer, hidden)[0], dim=-1)
        own = hidden.float()
        length, direction = own.norm(dim=-1, keepdim=True), torch.nn.functional.normalize(own, dim=-1)
        if at.record:
            at.record("cosine", at.layout.last_row(direction) @ towards)
        turned = direction + UNIT * self.alpha_text * towards
        return length * torch.nn.functional.normalize(turned, dim=-1)

"""Nullu: HalluSpace projection (arXiv 2412.13817; CVPR 2025).

A few directions tell states of hallucinated captions from those of faithful ones. What the feed-forward blocks add
loses its part along them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from hallu_models.interventions import Directions, Intervention, LayerStep


@dataclass(frozen=True)
class Nullu(Intervention):
    """Project feed-forward outputs off the directions in which hallucinated captions differ.

    layers: edited layers; none is the plain model. rank: how many directions a layer; 0 is the plain model. directions:
    the file that ``hallu calibrate --method nullu`` writes for this model, or "random:7" for directions drawn from a
    seed, a control of the same rank.
    """

    name: ClassVar[str] = "nullu"

    rank: int = 4
    directions: str = ""

    def bind(self, family: str | None, depth: int) -> Nullu:
        bound = super().bind(family, depth)
        if self.rank and (chosen := bound.layer_list(depth)):
            Directions.of(self.directions, self.name).require(depth, chosen, self.rank)
        return bound

    def parameters(self) -> dict[str, Any]:
        digest = Directions.of(self.directions, self.name).digest if self.directions and self.rank else ""
        return {**super().parameters(), **({"directions_sha256": digest} if digest else {})}

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if self.rank == 0:
            return hidden
        if "directions" not in at.generation:
            at.generation["directions"] = Directions.of(self.directions, self.name)
        space = at.generation["directions"].at(at.layer, hidden, self.rank)  # (r, D)
        states = hidden.float()
        along = states @ space.T
        if at.record:
            share = along.square().sum(dim=-1) / states.square().sum(dim=-1).clamp(min=1e-30)
            at.record("removed", at.layout.last_row(share))
        return states - along @ space

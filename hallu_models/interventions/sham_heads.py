"""sham_heads: a placebo of VHR, whose heads are drawn at random.

As many heads are as loud in the same layers, for as long. What VHR does beyond it, its choice of heads does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hallu_models.interventions import LayerStep, Prompt, noise_of_rows
from hallu_models.interventions.vhr import LouderHalf


@dataclass(frozen=True)
class ShamHeads(LouderHalf):
    """Scale the outputs of half of the heads, drawn anew for each prompt and layer.

    alpha: factor on the drawn heads; 1 is the plain model. draw: a seed; with picture and question it decides the draw,
        which therefore is the same in any batch.
    """

    name: ClassVar[str] = "sham_heads"

    draw: int = 0

    def read(self, prompt: Prompt) -> None:
        prompt.generation["keys"] = prompt.run.keys(self.name, self.draw)

    def ranks(self, outputs: Tensor, at: LayerStep) -> Tensor:
        return noise_of_rows(at.generation["keys"], at.layer, outputs.shape[2]).to(outputs.device)

"""sham_map: a placebo of EAH, which hands out the map of a head drawn at random.

It acts in the prompts and layers in which EAH would. What EAH does beyond it, its vision sinks do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hallu_models.interventions import LayerStep, Prompt, noise_of_rows
from hallu_models.interventions.eah import EAH


@dataclass(frozen=True)
class ShamMap(EAH):
    """Copy the attention map of a drawn head to all heads, in the prefill, where any head has a vision sink.

    beta, variant: EAH's. draw: a seed; with picture and question it decides the head, which therefore is the same in
        any batch.
    """

    name: ClassVar[str] = "sham_map"

    draw: int = 0

    def read(self, prompt: Prompt) -> None:
        prompt.generation["keys"] = prompt.run.keys(self.name, self.draw)

    def chosen(self, density: Tensor, at: LayerStep) -> Tensor:
        return noise_of_rows(at.generation["keys"], at.layer, density.shape[1]).to(density.device).argmax(dim=1)

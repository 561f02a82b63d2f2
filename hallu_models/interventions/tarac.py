"""TARAC: Temporal Attention Real-time Accumulative Connection (arXiv 2504.04099), reconstructed.

The longer an answer, the less it attends to the image. What the tokens so far have looked at in the image is remembered
with a decay, and given back to the attention of the current one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LayerStep


@dataclass(frozen=True)
class TARAC(Intervention):
    """Add a decaying memory of the image attention to the last row, in middle layers.

    alpha: weight of the memory in the attention; 0 is the plain model. beta: share of the memory that each token leaves
        over; 0 remembers nothing but the token itself.
    memory: "head", one memory a head; or "layer", the mean of its heads for all of them.
    renormalise: whether the row keeps its sum, at the expense of the text.
    """

    name: ClassVar[str] = "tarac"

    alpha: float = 0.5
    beta: float = 0.5
    memory: Literal["head", "layer"] = "head"
    renormalise: bool = True

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        columns, prompt = at.columns, at.layout.padding.shape[1]
        # In columns of the prompt: a window of the cache moves on, the memory does not.
        behind = columns.length - columns.seen
        looked = torch.nn.functional.pad(attention * columns.image[:, None], (behind, 0))[..., :prompt]
        if self.memory == "layer":
            looked = looked.mean(dim=1, keepdim=True)
        at.state["memory"] = kept = self.beta * at.state.get("memory", 0.0) + looked
        given = torch.nn.functional.pad(kept, (0, columns.length - prompt))[..., behind:]
        # What a window hides has no attention, and gets none.
        edited = attention + self.alpha * given.where(attention > 0, 0.0)
        if at.record:
            at.record("image_mass", (attention * columns.image[:, None]).sum(dim=-1), "head")
            at.record("remembered", kept.sum(dim=-1), "head")
        if self.renormalise:
            edited = edited * (attention.sum(dim=-1, keepdim=True) / edited.sum(dim=-1, keepdim=True).clamp(min=1e-12))
        return edited

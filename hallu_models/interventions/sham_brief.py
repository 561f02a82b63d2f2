"""sham_brief: captions that end earlier, and hallucinate less for it.

CHAIR falls with every sentence that is left out. What a method does beyond it is not the length's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LogitsStep, layers


@dataclass(frozen=True)
class ShamBrief(Intervention):
    """Raise the logits of the tokens that end an answer, from the second token on, so that no answer is empty.

    bias: nats that they gain; 0 is the plain model, below 0 answers get longer.
    """

    name: ClassVar[str] = "sham_brief"

    layers: layers.LayerSpec = ""
    bias: float = 2.0

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        assert at.vocabulary is not None
        ends = at.vocabulary.ends.to(logits.device)
        if at.record:
            at.record("ending", logits.softmax(dim=-1)[:, ends].sum(dim=-1))
        if not at.step:
            return logits
        return logits.index_add(1, ends, torch.full_like(logits[:, ends], self.bias))

"""M3ID: Multi-Modal Mutual-Information Decoding (arXiv 2403.14003, CVPR 2024), from ports of it.

The longer an answer, the less the model looks at the image. What the text alone would have made it say is subtracted,
with a weight that grows with every token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LogitsStep, Negative, Prompt, layers, plausible

MOST = 20.0
"""Of lam times t: by then the difference alone decides, and exp(lam t) is far from the end of float32."""


@dataclass(frozen=True)
class M3ID(Intervention):
    """Contrast with the prediction of the same text without the image.

    lam: how fast the weight exp(lam t) - 1 of the contrast grows, a token; 0 is the plain model. t0: t of the first
        token; at 0 it has no contrast. beta: plausibility. confident: where the main branch's favourite has more than
        this probability the plain model predicts; 1 is never.
    """

    name: ClassVar[str] = "m3id"

    layers: layers.LayerSpec = ""
    lam: float = 0.02
    t0: int = 1
    beta: float = 0.1
    confident: float = 1.0

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.prompt.without_image(prompt.layout), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if self.lam == 0:
            return logits
        seen, unseen = logits.log_softmax(dim=-1), negative.log_softmax(dim=-1)
        weight = math.expm1(min(self.lam * (at.step + self.t0), MOST))
        favourite, token = seen.max(dim=-1, keepdim=True)
        unsure = favourite <= math.log(self.confident)
        if at.record:
            at.record("weight", (weight * unsure)[:, 0])
            at.record("prior", unseen.gather(1, token)[:, 0].exp())  # of the favourite, without the image
        combined = plausible(seen + weight * (seen - unseen), logits, self.beta)
        return torch.where(unsure, combined, logits)

"""sham_negative: a placebo of contrastive decoding, whose negative prediction knows nothing.

It is the main one under Gaussian noise as large as what a noised picture changes. What VCD does beyond it, the
negative branch's knowledge does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hallu_models.interventions import (
    Intervention,
    LogitsStep,
    Prompt,
    contrasted,
    jensen_shannon,
    layers,
    noise_of_rows,
)


@dataclass(frozen=True)
class ShamNegative(Intervention):
    """Contrast with the prediction itself under noise on its logits; no second branch is run.

    alpha: strength; 0 is the plain model. beta: plausibility. sigma: standard deviation of the noise, in nats. draw: a
    seed; with picture, question and the token's number it decides the noise, which therefore is the same in any batch.
    """

    name: ClassVar[str] = "sham_negative"

    layers: layers.LayerSpec = ""
    alpha: float = 1.0
    beta: float = 0.1
    sigma: float = 1.5
    draw: int = 0

    def read(self, prompt: Prompt) -> None:
        prompt.generation["keys"] = prompt.run.keys(self.name, self.draw)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        noise = noise_of_rows(at.generation["keys"], at.step, logits.shape[-1]).to(logits.device)
        negative = logits + self.sigma * noise
        if at.record:
            at.record("jsd", jensen_shannon(logits, negative))
        return contrasted(logits, negative, self.alpha, self.beta)

"""VCD: visual contrastive decoding (arXiv 2311.16922, CVPR 2024).

A picture under noise leaves the model to its language prior and to what usually occurs together. What it says then is
subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import (
    Intervention,
    LogitsStep,
    Negative,
    Prompt,
    contrasted,
    fingerprint,
    jensen_shannon,
    layers,
    seeded_noise,
)

STEPS = 1000
"""Of the diffusion, whose noise grows along a sigmoid."""


@dataclass(frozen=True)
class VCD(Intervention):
    """Contrast with the prediction for the image under diffusion noise.

    alpha: strength; 0 is the plain model. beta: plausibility. noise_step: how far the diffusion has gone, of 1,000
    steps counted from 0. noise_seed: with the picture itself it decides the noise, which therefore is the same in any
    batch.
    """

    name: ClassVar[str] = "vcd"

    layers: layers.LayerSpec = ""
    alpha: float = 1.0
    beta: float = 0.1
    noise_step: int = 500
    noise_seed: int = 0

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.with_pixels(self.name, self.noised), prompt.layout.has_image)

    def noised(self, pixels: Tensor) -> Tensor:
        """Normalised pixels of a picture at the chosen step of the diffusion, in float32."""
        noise = seeded_noise(fingerprint(pixels), self.noise_seed, pixels.shape).to(pixels.device)
        kept = signal(self.noise_step)
        return kept**0.5 * pixels.float() + (1 - kept) ** 0.5 * noise

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if at.record:
            at.record("jsd", jensen_shannon(logits, negative))
        return contrasted(logits, negative, self.alpha, self.beta)


def signal(step: int) -> float:
    """Share of the picture's variance that is left at a step: the product of 1 - beta_i up to it, itself included."""
    beta = torch.linspace(-6, 6, STEPS, dtype=torch.float64).sigmoid() * (0.005 - 1e-5) + 1e-5
    return float((1 - beta[: step + 1]).prod())

"""AvisC: attentional vision calibration (arXiv 2405.17820).

A few image tokens get outstanding attention whatever is asked, and carry little: blind tokens. What the model says when
it sees only these is subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LogitsStep, Negative, Prompt, contrasted, layers, seeded_noise


@dataclass(frozen=True)
class AvisC(Intervention):
    """Contrast with the prediction from the blind tokens of the image alone.

    layers: where attention is read. gamma: of these only the ones with the largest share of all attention to the image,
    until they hold this much of it. lam: a token is blind if its attention is at least the mean plus lam standard
    deviations over the image's tokens. alpha: strength; 0 is the plain model. beta: plausibility. mask: what stands in
    the place of the other tokens. noise_seed: with the picture itself it decides the noise.
    """

    name: ClassVar[str] = "avisc"

    layers: layers.LayerSpec = "all"
    gamma: float = 0.5
    lam: float = 1.0
    alpha: float = 1.0
    beta: float = 0.1
    mask: Literal["zeros", "ones", "noise"] = "zeros"
    noise_seed: int = 0

    def negative(self, prompt: Prompt) -> Negative:
        columns, real = prompt.layout.image_columns()
        by_layer = prompt.run.last_row_attention(prompt.run.prompt, prompt.layout, prompt.layers)
        by_layer = by_layer.gather(2, columns[:, None].expand(-1, by_layer.shape[1], -1)) * real[:, None]
        attention, chosen = self.attention(by_layer)
        blind = real & (attention >= self.limit(attention, real))
        if prompt.record:
            prompt.record("chosen", chosen, "read layer")
            for name, value in (("attention", attention), ("blind", blind)):
                prompt.record(name, value, "image token")
        masked = torch.zeros_like(prompt.layout.image).scatter(1, columns, real & ~blind)
        return Negative(prompt.run.prompt.with_removed(masked, self._filling(prompt)), prompt.layout.has_image)

    def attention(self, by_layer: Tensor) -> tuple[Tensor, Tensor]:
        """Attention (B, N) to each image token, averaged over the chosen layers, and which (B, layers) these are."""
        mass = by_layer.sum(dim=2)
        share, order = (mass / mass.sum(dim=1, keepdim=True).clamp(min=1e-12)).sort(dim=1, descending=True, stable=True)
        before = share.cumsum(dim=1) - share
        chosen = torch.zeros_like(mass, dtype=torch.bool).scatter(1, order, before < self.gamma)
        return (by_layer * chosen[:, :, None]).sum(dim=1) / chosen.sum(dim=1, keepdim=True), chosen

    def limit(self, attention: Tensor, real: Tensor) -> Tensor:
        """Attention (B, 1) from which on a token is blind."""
        number = real.sum(dim=1, keepdim=True)
        mean = attention.sum(dim=1, keepdim=True) / number.clamp(min=1)
        squares = (attention - mean).square().where(real, 0.0).sum(dim=1, keepdim=True)
        return mean + self.lam * (squares / (number - 1).clamp(min=1)).sqrt()

    def _filling(self, prompt: Prompt) -> Tensor | float:
        if self.mask != "noise":
            return float(self.mask == "ones")
        filling = torch.zeros_like(prompt.embeddings)
        for row, (key, image) in enumerate(zip(prompt.run.fingerprints(self.name), prompt.layout.image)):
            noise = seeded_noise(key, self.noise_seed, (int(image.sum()), filling.shape[2]))
            filling[row, image] = noise.to(filling)
        return filling

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        # Where a prompt without most of its image overflows there is nothing to subtract.
        broken = negative.isnan().any(dim=1, keepdim=True)
        return contrasted(logits, torch.where(broken, logits, negative), self.alpha, self.beta)

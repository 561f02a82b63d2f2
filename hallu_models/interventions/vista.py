"""VISTA: Visual Information Steering with Token-logit Augmentation (arXiv 2502.03628; ICML 2025).

While an answer grows, what the image said fades. In every layer hidden states are turned towards what the image changed
at the end of the prompt, and layers before the last, where words with a meaning are likeliest, join the prediction.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LayerStep, LogitsStep, Prompt
from hallu_models.interventions import layers as layer_lists

ROUNDING = 8
"""Of a number's last place: two states that differ by less are the same."""


@dataclass(frozen=True)
class VISTA(Intervention):
    """Turn feed-forward outputs towards the image, and average early layers' logits into the prediction.

    layers: where hidden states are turned, at every position. lam: how far, in lengths of the state; 0 turns nothing.
    gamma: weight of the early layers' mean logits in the prediction, 0 to 1; 0 leaves it alone. lens_layers: these
    layers, without the decoder's last norm. lam=0 with gamma=0 is the plain model.
    """

    name: ClassVar[str] = "vista"

    lam: float = 0.17
    gamma: float = 0.3
    lens_layers: layer_lists.LayerSpec = "25/32-30/32"

    def bind(self, family: str | None, depth: int) -> VISTA:
        chosen = layer_lists.resolve(self.lens_layers, depth, argument="lens_layers", method=self.name)
        return dataclasses.replace(super().bind(family, depth), lens_layers=layer_lists.spell(chosen))

    def read(self, prompt: Prompt) -> None:
        if not prompt.layers or self.lam == 0:
            return
        sees, blind = (prompt.run.hidden_states(prompt.layers, image=image) for image in (True, False))
        changes = {layer: change(sees[layer], blind[layer]) for layer in prompt.layers}
        if prompt.record:
            lengths = [changes[layer].norm(dim=-1).to(prompt.embeddings.device) for layer in prompt.layers]
            prompt.record("change", torch.stack(lengths, dim=1), "layer")
        prompt.generation["towards"] = {layer: unit(changed)[:, None] for layer, changed in changes.items()}

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if self.lam == 0:
            return hidden
        towards = at.generation["towards"][at.layer]
        own = hidden.float()
        length, direction = own.norm(dim=-1, keepdim=True), unit(own)
        # What points away from the image is turned up to twice as far.
        away = -(direction * towards).sum(dim=-1, keepdim=True)
        return length * unit(direction + self.lam * (1 + away.clamp(min=0)) * towards)

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return layer_lists.resolve(self.lens_layers, depth, method=self.name) if self.gamma else ()

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        if not at.layers:
            return logits
        return torch.lerp(logits, at.early(at.layers, normed=False).mean(dim=1), self.gamma)


def change(sees: Tensor, blind: Tensor) -> Tensor:
    """What the image changes in states (B, D); zero where that is rounding, as in a window that it lies outside of."""
    difference = sees.float() - blind.float()
    rounding = ROUNDING * torch.finfo(sees.dtype).eps * sees.float().norm(dim=-1, keepdim=True)
    return difference.where(difference.norm(dim=-1, keepdim=True) > rounding, 0.0)


def unit(states: Tensor) -> Tensor:
    """States (..., D) of length 1; those of length 0 stay."""
    return torch.nn.functional.normalize(states, dim=-1)

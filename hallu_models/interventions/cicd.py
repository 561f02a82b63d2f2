"""CICD: cross-image contrastive decoding (arXiv 2505.10634).

What another image would have made the model say as well is language prior. The closer both predictions, the stronger
they are contrasted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LogitsStep, Negative, Prompt, layers, plausible


@dataclass(frozen=True)
class CICD(Intervention):
    """Contrast with the prediction for another image.

    alpha_max: largest contrast strength; the strength is 1 - log10 of the Jensen-Shannon divergence of both
        predictions. 0 is the plain model. beta: plausibility, 0.1 for captions, 0.25 for yes/no questions. variant:
        "paper"; or "official", the released code's divergence, of their middle from each of them.
    pick: how lmms-eval's adapter chooses the other image in a task, "random" (seeded) or "least_similar" by the model's
        own mean image feature. Who gives ``other_images`` has chosen already.
    """

    name: ClassVar[str] = "cicd"

    layers: layers.LayerSpec = ""
    alpha_max: float = 3.0
    beta: float = 0.1
    pick: Literal["random", "least_similar"] = "random"
    variant: Literal["paper", "official"] = "paper"

    def needs_other_image(self) -> bool:
        return True

    def other_image_pick(self) -> str:
        return self.pick

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.other_images(self.name), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        return contrast_other_image(logits, negative, self.alpha_max, self.beta, at, DIVERGENCES[self.variant])


def contrast_other_image(
    logits: Tensor, negative: Tensor, alpha_max: float, beta: float, at: LogitsStep, apart: Divergence
) -> Tensor:
    """(1 + alpha) l - alpha l' with a strength per row, where the predictions differ at all; plausible tokens only."""
    if alpha_max == 0:
        return logits
    divergence = apart(logits, negative)
    alpha = (1 - divergence.log10()).clamp(max=alpha_max).where(divergence > 1e-4, 0.0)
    if at.record:
        at.record("jsd", divergence)
        at.record("alpha", alpha)
    alpha = alpha[:, None]
    return plausible((1 + alpha) * logits - alpha * negative, logits, beta)


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence (B,) in nats of the distributions with these logits (B, V), at most 1."""
    p, q, m = _with_middle(first, second)
    return ((_divergence(p, m) + _divergence(q, m)) / 2).clamp(min=0, max=1)


def reversed_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Divergence (B,) in nats of the middle of both distributions from each of them, mean of the two, at most 1."""
    p, q, m = _with_middle(first, second)
    return ((_divergence(m, p) + _divergence(m, q)) / 2).clamp(min=0, max=1)


def _with_middle(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    p, q = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
    return p, q, torch.logaddexp(p, q) - math.log(2)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence (B,) of log-probabilities ``p`` from ``q``."""
    return torch.nn.functional.kl_div(q, p, log_target=True, reduction="none").sum(-1)


Divergence = Callable[[Tensor, Tensor], Tensor]
DIVERGENCES: dict[str, Divergence] = {"paper": jensen_shannon, "official": reversed_divergence}
"""By variant."""

"""CICD: cross-image contrastive decoding (arXiv 2505.10634).

What another image would have made the model say as well is language prior. The closer both predictions, the stronger
they are contrasted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from hallu_models.interventions import (
    Intervention,
    LogitsStep,
    Negative,
    Prompt,
    jensen_shannon,
    layers,
    plausible,
    reversed_divergence,
)


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
    divergence = apart(logits, negative).clamp(max=1)
    alpha = (1 - divergence.log10()).clamp(max=alpha_max).where(divergence > 1e-4, 0.0)
    if at.record:
        at.record("jsd", divergence)
        at.record("alpha", alpha)
    alpha = alpha[:, None]
    return plausible((1 + alpha) * logits - alpha * negative, logits, beta)


Divergence = Callable[[Tensor, Tensor], Tensor]
DIVERGENCES: dict[str, Divergence] = {"paper": jensen_shannon, "official": reversed_divergence}
"""By variant."""

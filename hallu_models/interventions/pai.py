"""PAI: Pay Attention to Image ("Paying More Attention to Image", ECCV 2024, arXiv 2407.21771).

A model that goes on talking without looking says the same with and without the image. Every head's scores on the image
are raised by their own size, and what the text alone predicts is taken out of the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from hallu_models.interventions import Intervention, LayerStep, LogitsStep, Negative, Prompt, plausible, seen


@dataclass(frozen=True)
class PAI(Intervention):
    """Raise the last row's scores on the image, and contrast with the prompt without it.

    alpha: share of a score's own size that is added to it; 0 leaves attention as it is.
    gamma: guidance; above 1 the prediction moves away from that of the text alone. At 1 there is no negative branch and
        no plausibility cut; with alpha 0 that is the plain model.
    beta: plausibility, as a share of the likeliest token's probability.
    variant: "paper"; or "official", the released code's: with guidance the prompt is read without raised scores, so the
        first token is predicted without them.
    """

    name: ClassVar[str] = "pai"

    alpha: float = 0.2
    gamma: float = 1.1
    beta: float = 0.1
    variant: Literal["paper", "official"] = "paper"

    def contrasts(self) -> bool:
        return self.gamma != 1

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        image = at.columns.image[:, None] & seen(scores)
        # Of a score below zero its size is added too: the image never loses by it.
        edited = (scores + self.alpha * scores.abs()).where(image, scores)
        if self.variant == "official" and self.contrasts() and at.prefill:
            edited = scores
        if at.record:
            for name, of in (("image_mass", scores), ("raised_mass", edited)):
                at.record(name, (of.softmax(dim=-1) * image).sum(dim=-1), "head")
        return edited

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.prompt.without_image(prompt.layout), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        own, text = logits.log_softmax(dim=-1), negative.log_softmax(dim=-1)
        return plausible(self.gamma * (own - text) + text, own, self.beta)

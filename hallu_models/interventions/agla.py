"""AGLA: Assembly of Global and Local Attention (arXiv 2406.12718, CVPR 2025).

An image holds much that a question is not about, and the model's attention strays there. Another model says which parts
match the question; the prediction for the image without the rest is added to that for the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from hallu_models.interventions import (
    Intervention,
    LogitsStep,
    Negative,
    OtherImage,
    Prompt,
    jensen_shannon,
    layers,
    matching,
    pictures,
    supported,
)

BLUR = 0.02
"""Deviation of the blur over the map of relevance, as a share of its side."""
LEAST_REMOVED = 1e-5
"""Share of the pixels."""


@dataclass(frozen=True)
class AGLA(Intervention):
    """Add the prediction for the image without what does not match the question.

    alpha: weight of that prediction; 0 is the plain model. beta: plausibility. itm: Hub id or folder of the matching
    model, a BLIP for image-text retrieval, which is loaded for the first image. block: of its cross-attention.
    """

    name: ClassVar[str] = "agla"

    layers: layers.LayerSpec = ""
    alpha: float = 2.0
    beta: float = 0.5
    itm: str = "Salesforce/blip-itm-large-coco"
    block: int = 6

    def other_image(self, image: Any, text: str) -> OtherImage:
        model = matching.load(self.itm)
        relevance, similarity = model.relevance(image, text, self.block)
        kept = shown(relevance, similarity, model.side)
        return OtherImage(pictures.masked(image, kept), {"similarity": similarity, "kept": float(kept.double().mean())})

    def negative(self, prompt: Prompt) -> Negative:
        return Negative(prompt.run.other_images(self.name, made=True), prompt.layout.has_image)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        if at.record:
            at.record("jsd", jensen_shannon(logits, negative))
        return supported(logits, negative, self.alpha, self.beta)


def shown(relevance: Tensor, similarity: float, side: int) -> Tensor:
    """(side, side) the pixels that stay: the most relevant ones, the fewer the better text and image match."""
    spread = relevance - relevance.min()
    fine = pictures.smoothed(pictures.enlarged(spread / spread.max().clamp(min=1e-30), side, side), BLUR * side)
    share = min(1 - similarity / 2, 1 - LEAST_REMOVED)
    limit = fine.flatten().sort(descending=True).values[int(share * side**2)]
    return fine >= limit

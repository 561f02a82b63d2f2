"""VAF: Visual Amplification Fusion ("ClearSight", CVPR 2025, arXiv 2503.13107).

In the middle layers text and image are fused, and there the text looks too little at the image. Its scores on the image
are made larger, and those on what stands in front of the image smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from hallu_models.interventions import Intervention, LayerStep, seen


@dataclass(frozen=True)
class VAF(Intervention):
    """Scale the scores of all rows behind the image, in the middle layers.

    enhance: factor on the scores of image columns. suppress: factor on those of the columns in front of the image. With
        both 1 it is the plain model.
    mode: "raw", the factor as it is: a score below zero that is made larger lies further below; or "abs" (ours), by so
        much of the score's size that the image never loses and the text in front of it never gains.
    """

    name: ClassVar[str] = "vaf"

    enhance: float = 1.15
    suppress: float = 0.95
    mode: Literal["raw", "abs"] = "raw"

    def text_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        shown = seen(scores)
        image, before = at.columns.image[:, None, None] & shown, at.columns.before[:, None, None] & shown
        size = scores if self.mode == "raw" else scores.abs()
        edited = (scores + (self.enhance - 1) * size).where(image, scores)
        edited = (scores + (self.suppress - 1) * size).where(before, edited)
        if at.record:
            for name, of in (("image_mass", scores), ("scaled_mass", edited)):
                at.record(name, (of[:, :, -1:].softmax(dim=-1) * image[:, :, -1:]).sum(dim=-1)[:, :, 0], "head")
        return edited

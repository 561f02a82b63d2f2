"""HGAI: Heads Guided Attention Intervention ("Devils in Middle Layers", CVPR 2025, arXiv 2411.16724).

In the middle layers, where visual information reaches the text, each head that hallucinates follows objects of its own.
Every head's scores on the image are raised by what the heads of its layer give to the same image column on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hallu_models.interventions import Intervention, LayerStep, seen


@dataclass(frozen=True)
class HGAI(Intervention):
    """Add the heads' mean absolute score to the image columns of the last row, in the middle layers.

    alpha: weight of the mean; 0 is the plain model.
    """

    name: ClassVar[str] = "hgai"

    alpha: float = 0.5

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        raised = at.columns.image[:, None] & seen(scores)
        guide = scores.abs().where(raised, 0.0).sum(dim=1) / raised.sum(dim=1).clamp(min=1)  # (B, Lk)
        edited = (scores + self.alpha * guide[:, None]).where(raised, scores)
        if at.record:
            for name, of in (("image_mass", scores), ("raised_mass", edited)):
                at.record(name, (of.softmax(dim=-1) * raised).sum(dim=-1), "head")
        return edited

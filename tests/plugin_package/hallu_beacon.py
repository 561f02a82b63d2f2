"""Beacon: a method for lmms-eval-hallu in a package of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hallu_models.interventions import Intervention, LayerStep


@dataclass(frozen=True)
class Beacon(Intervention):
    """Multiply the attention of the last row to the image, at the expense of the text.

    gain: factor on the odds of an image column; 1 is the plain model.
    """

    name: ClassVar[str] = "beacon"

    gain: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.gain < math.inf:
            raise ValueError(f"beacon: gain={self.gain} is not above 0 and finite; 1 is the plain model")

    def row_scores(self, scores: Tensor, at: LayerStep) -> Tensor:
        return scores + math.log(self.gain) * at.columns.image[:, None]

"""sham_yes: more "yes", whatever is in the picture (arXiv 2504.10020, NeurIPS 2025; its output layer modification).

Benchmarks of yes/no questions reward a model that answers "no" too often for saying "yes" more often. What a method
does beyond it is not the threshold's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from hallu_models.interventions import Intervention, LogitsStep, layers

MASS, GAP = 0.2, 0.5
"""Of the released rule: what yes and no have to be likely together, and how far apart they may be."""


@dataclass(frozen=True)
class ShamYes(Intervention):
    """Raise the logits of "yes" where an answer begins.

    shift: nats that all spellings of yes gain; 0 is the plain model, below 0 it says no more often. variant: "shift";
        or "official", the released rule in its place: at any token where yes and no are likely and close, say yes.
    """

    name: ClassVar[str] = "sham_yes"

    layers: layers.LayerSpec = ""
    shift: float = 1.0
    variant: Literal["shift", "official"] = "shift"

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        assert at.vocabulary is not None
        yes, no = (at.vocabulary.spellings(word).to(logits.device) for word in ("yes", "no"))
        chance = [logits.softmax(dim=-1)[:, tokens].sum(dim=-1) for tokens in (yes, no)]
        if at.record:
            at.record("margin", chance[0].log() - chance[1].log())
        if self.variant == "official":
            close = (chance[0] + chance[1] > MASS) & ((chance[0] - chance[1]).abs() < GAP)
            says = logits.new_full(logits.shape, -math.inf)
            favourite = yes[logits[:, yes].argmax(dim=-1, keepdim=True)]
            return says.scatter(1, favourite, logits.gather(1, favourite)).where(close[:, None], logits)
        if at.step:
            return logits
        return logits.index_add(1, yes, logits.new_full((len(logits), len(yes)), self.shift))

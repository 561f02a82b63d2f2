"""sham_cut: the plausibility constraint of contrastive decoding, without its contrast.

Where tokens are sampled it makes sampling nearly greedy, which by itself raises scores (arXiv 2504.10020, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hallu_models.interventions import Intervention, LogitsStep, layers, plausible


@dataclass(frozen=True)
class ShamCut(Intervention):
    """Make tokens impossible that are much less likely than the favourite.

    beta: how likely a token has to be, as a share of the favourite's probability; 0 is the plain model.
    """

    name: ClassVar[str] = "sham_cut"

    layers: layers.LayerSpec = ""
    beta: float = 0.1

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        cut = plausible(logits, logits, self.beta)
        if at.record:
            at.record("possible", cut.isfinite().sum(dim=-1))
        return cut

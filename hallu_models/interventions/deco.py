"""DeCo: Dynamic Correction Decoding ("MLLM can see?", arXiv 2410.11779; ICLR 2025).

Layers before the last ones often still name what is in the image where the prediction has turned to the language prior.
The layer that is most certain of one of the prediction's own candidates is added to the prediction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import Intervention, LogitsStep


@dataclass(frozen=True)
class DeCo(Intervention):
    """Add an early layer's logits to those of the prediction's most likely tokens, and leave only these possible.

    layers: the layers looked into, each behind the decoder's last norm; none is the plain model. alpha: weight of the
    chosen layer's logits, times how certain it is; 0 is the plain model, with no token impossible. candidates: how many
    tokens stay possible at most. mass: of these only the likeliest that together reach this probability, up to 1.
    """

    name: ClassVar[str] = "deco"

    alpha: float = 0.6
    candidates: int = 20
    mass: float = 0.9

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return self.layer_list(depth) if self.alpha else ()

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        if not at.layers:
            return logits
        likely, tokens = logits.softmax(dim=-1).topk(min(self.candidates, logits.shape[-1]))
        kept = likely.cumsum(dim=-1) - likely < self.mass  # the shortest prefix that reaches it
        early = at.early(at.layers)
        certain = self.certainty(early, tokens, kept)
        best, place = certain.max(dim=-1)
        if at.record:
            at.record("layer", torch.tensor(at.layers, device=place.device)[place])
            at.record("certainty", best)
            at.record("candidates", kept.sum(dim=-1))
        chosen = early[torch.arange(len(early), device=early.device), place]
        corrected = (logits + self.alpha * best[:, None] * chosen).gather(1, tokens)
        return torch.full_like(logits, -math.inf).scatter(1, tokens, corrected.masked_fill(~kept, -math.inf))

    def certainty(self, early: Tensor, tokens: Tensor, kept: Tensor) -> Tensor:
        """Largest probability (B, n) that each of n layers' logits (B, n, V) give one of the kept ``tokens`` (B, K)."""
        own = early.gather(2, tokens[:, None].expand(-1, early.shape[1], -1)) - early.logsumexp(dim=-1, keepdim=True)
        return own.exp().masked_fill(~kept[:, None], 0.0).amax(dim=-1)

"""ONLY: one-layer intervention (arXiv 2507.00898; ICCV 2025).

One early layer's attention, its peaks and its image-bound heads cut away, is carried straight to the last layer and
decoded there: a prediction from text, without a second pass. It supports the model's own, or is subtracted from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import BadArgument, Intervention, LayerStep, LogitsStep, plausible


@dataclass(frozen=True)
class ONLY(Intervention):
    """Combine the prediction with that of one layer's text-dominated attention.

    layers: the one layer; none is the plain model. theta: total variation distance, 0 to 2, below which both
    predictions agree. alpha_agree: weight of the text prediction where they do, added. alpha_differ: its weight where
    they do not, subtracted. Both 0 is the plain model. beta: plausibility. stream: weight of the model's own hidden
    states where the text's enter the last layer; final: their weight behind it.
    """

    name: ClassVar[str] = "only"

    theta: float = 0.25
    alpha_agree: float = 3.0
    alpha_differ: float = 1.0
    beta: float = 0.1
    stream: float = 0.2
    final: float = 0.5

    def bind(self, family: str | None, depth: int) -> ONLY:
        bound = super().bind(family, depth)
        if len(chosen := bound.layer_list(depth)) > 1 or depth - 1 in chosen:
            raise BadArgument(
                f"only: layers={self.layers}: the text prediction comes from one layer in front of the last one; write "
                "for example layers=0"
            )
        return bound

    def layer_list(self, depth: int) -> tuple[int, ...]:
        return super().layer_list(depth) if self.alpha_agree or self.alpha_differ else ()

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (depth - 2, depth - 1) if self.layer_list(depth) else ()

    def inside_layers(self, depth: int) -> tuple[int, ...]:
        return (*chosen, depth - 1) if (chosen := self.layer_list(depth)) else ()

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        assert at.attended is not None
        image, text = at.columns.image[:, None], (at.columns.text & ~at.columns.first)[:, None]
        seen, read = (below_peaks(attention, columns) for columns in (image, text))
        ratio = entropy(read) / entropy(seen).clamp(min=1e-6).where(seen.sum(dim=-1) > 0, torch.inf)
        towards_text = ratio >= ratio.mean(dim=-1, keepdim=True)
        if at.record:
            at.record("text_heads", towards_text, "head")
        dominated = torch.where(image | text, seen + read, attention) * towards_text[:, :, None]
        at.generation["heads"] = at.attended(dominated)
        return attention  # The model's own goes on as it was.

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        if at.inside is None:
            return logits
        text = self.text_logits(at).to(logits.device)
        distance = (logits.softmax(dim=-1) - text.softmax(dim=-1)).abs().sum(dim=-1)
        if at.record:
            at.record("distance", distance)
        agree = (distance < self.theta)[:, None]
        weight = torch.where(agree, self.alpha_agree, -self.alpha_differ)
        own = torch.where(agree, 1.0, 1 + self.alpha_differ)
        return plausible(own * logits + weight * text, logits, self.beta)

    def text_logits(self, at: LogitsStep) -> Tensor:
        """Logits (B, V) of the text-dominated attention, through the last layer alone."""
        assert at.inside is not None
        before, last = at.layers
        added = at.inside.output_projection(int(self.layers), at.generation["heads"])
        own = at.inside.hidden(before)
        text = at.inside.attention_norm(last, added).to(own.device) + self.stream * own
        text = text + at.inside.feed_forward(last, text).to(text.device)
        final = at.inside.last_norm(at.inside.hidden(last))
        return at.inside.predict(at.inside.last_norm(text).to(final.device) + self.final * final)


def below_peaks(attention: Tensor, columns: Tensor) -> Tensor:
    """Attention (B, H, Lk) on some columns (B, 1, Lk), without what exceeds their mean by a standard deviation."""
    number = columns.sum(dim=-1, keepdim=True)
    mean = attention.where(columns, 0.0).sum(dim=-1, keepdim=True) / number.clamp(min=1)
    spread = (attention - mean).square().where(columns, 0.0).sum(dim=-1, keepdim=True) / (number - 1).clamp(min=1)
    return attention.where(columns & (attention <= mean + spread.sqrt()), 0.0)


def entropy(weights: Tensor) -> Tensor:
    """Entropy (B, H) of weights (B, H, Lk) as shares; 0 where there are none."""
    shares = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)
    return -(shares * (shares + 1e-6).log()).sum(dim=-1)

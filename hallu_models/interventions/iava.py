"""IAVA: Instruction-Aligned Visual Attention (arXiv 2503.18556), reconstructed.

Image tokens that a general instruction looks at and the actual question does not are irrelevant to the question. What
the model says when it sees only these is language prior, and is subtracted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hallu_models.interventions import (
    Conversation,
    DecoderInputs,
    Intervention,
    Layout,
    LogitsStep,
    Message,
    Negative,
    Prompt,
    contrasted,
    layers,
)

CUMULATIVE_SHARE = 0.5


@dataclass(frozen=True)
class IAVA(Intervention):
    """Contrast with a pseudo-image of the tokens that the question makes the model look away from.

    layers: where attention is read. cumulative: of these only the ones with the largest image share, until they hold
    half of it. i: how many tokens the pseudo-image may keep: a count, a fraction of the image tokens below 1, or "auto"
    (ours: the drops above mean + std of the positive ones). lam: tokens must exceed mean + lam std of the attention
    under the general instruction; infinity is the plain model. alpha: strength; 0 is the plain model. beta:
    plausibility. instruction: the general instruction. mask: what is taken from the pseudo-image, the embeddings of its
    tokens or, where tokens are patches, the pixels ("pixels"; the whole picture is encoded once more).
    """

    name: ClassVar[str] = "iava"

    layers: layers.LayerSpec = "all"
    i: float | Literal["auto"] = 0.1736
    lam: float = 0.0
    alpha: float = 1.0
    beta: float = 0.1
    cumulative: bool = False
    instruction: str = "Describe the content of the image."
    mask: Literal["embeddings", "pixels"] = "embeddings"

    def rewrite(self, messages: Conversation) -> Conversation:
        return [_reworded(message, self.instruction) if message["role"] == "user" else message for message in messages]

    def negative(self, prompt: Prompt) -> Negative:
        columns, real = prompt.layout.image_columns()
        general, layout = prompt.run.rewritten(self.name)
        under_general = self._image_attention(prompt, general, layout)
        under_question = self._image_attention(prompt, prompt.run.prompt, prompt.layout)
        kept = self.select(under_general, under_question, real)
        if prompt.record:
            for name, value in (("att1", under_general), ("att2", under_question), ("selected", kept)):
                prompt.record(name, value, "image token")
        if self.mask == "pixels":
            inputs = prompt.run.with_masked_pixels(self.name, kept)
        else:
            removed = torch.zeros_like(prompt.layout.image).scatter(1, columns, ~kept & real)
            inputs = prompt.run.prompt.with_removed(removed)
        # A row that keeps no token is answered by the plain model.
        return Negative(inputs, kept.any(dim=1))

    def _image_attention(self, prompt: Prompt, inputs: DecoderInputs, layout: Layout) -> Tensor:
        """Attention (B, N) of the last prompt position to each image token, averaged over heads and layers."""
        by_layer = prompt.run.last_row_attention(inputs, layout, prompt.layers)
        columns, real = layout.image_columns()
        on_image = by_layer.gather(2, columns[:, None].expand(-1, by_layer.shape[1], -1)) * real[:, None]
        if not self.cumulative:
            return on_image.mean(dim=1)
        share = on_image.sum(dim=2)
        order = share.argsort(dim=1, descending=True)
        sorted_share = share.gather(1, order)
        total = sorted_share.sum(dim=1, keepdim=True).clamp(min=1e-12)
        before = (sorted_share.cumsum(dim=1) - sorted_share) / total
        chosen = torch.zeros_like(share).scatter(1, order, (before < CUMULATIVE_SHARE).to(share.dtype))
        return (on_image * chosen[:, :, None]).sum(dim=1) / chosen.sum(dim=1, keepdim=True)

    def select(self, under_general: Tensor, under_question: Tensor, real: Tensor) -> Tensor:
        """Which image tokens (B, N) the pseudo-image keeps: all three criteria of section 3.2."""
        drop = (under_general - under_question).masked_fill(~real, -math.inf)
        number = real.sum(dim=1, keepdim=True)
        if self.i == "auto":
            falling = (drop > 0) & real
            largest = drop > _mean(drop, falling) + _std(drop, falling)
        else:
            size = float(self.i)
            if size >= 1 and bool((size > number)[real.any(dim=1)].any()):
                raise ValueError(
                    f"iava: i={self.i} is more than the {int(number.max())} image tokens of a prompt; "
                    "use a smaller count, a fraction below 1, or auto"
                )
            count = torch.full_like(number, int(size)) if size >= 1 else (size * number).round().long()
            largest = drop.argsort(dim=1, descending=True, stable=True).argsort(dim=1) < count
        if math.isinf(self.lam):
            return torch.zeros_like(real)
        looked_at = under_general > _mean(under_general, real) + self.lam * _std(under_general, real)
        return (drop > 0) & largest & looked_at & real

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        return contrasted(logits, negative, self.alpha, self.beta)


def _reworded(message: Message, instruction: str) -> dict[str, Any]:
    """The message with its images and ``instruction`` in the place of its text."""
    content = message["content"]
    images = [] if isinstance(content, str) else [part for part in content if part["type"] == "image"]
    return {**message, "content": [*images, {"type": "text", "text": instruction}]}


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return values.where(chosen, 0.0).sum(dim=1, keepdim=True) / chosen.sum(dim=1, keepdim=True).clamp(min=1)


def _std(values: Tensor, chosen: Tensor) -> Tensor:
    spread = (values - _mean(values, chosen)).square().where(chosen, 0.0).sum(dim=1, keepdim=True)
    return (spread / chosen.sum(dim=1, keepdim=True).clamp(min=1)).sqrt()

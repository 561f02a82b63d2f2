"""MemVR: Memory-Space Visual Retracing (arXiv 2410.03577; ICML 2025).

Where a middle layer is uncertain of the next token, the image is read once more: the next layer's feed-forward block
gets a second part, in which the image's features are keys and values of a memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import BadArgument, Intervention, LayerStep, Prompt

LIKELIEST = 10
"""Tokens among which a layer is certain or not."""


@dataclass(frozen=True)
class MemVR(Intervention):
    """Mix the image's features into the feed-forward block behind the first uncertain layer, once a token.

    layers: whose uncertainty is looked at; the block of the layer behind is edited. None is the plain model. tau:
    uncertainty from which on the image is retraced, as entropy of the ten likeliest tokens in units of its maximum; 1
    is the plain model. rho: share of the retraced part in the block's output, 0 to 1; 0 is the plain model.
    """

    name: ClassVar[str] = "memvr"

    tau: float = 0.75
    rho: float = 0.12

    def bind(self, family: str | None, depth: int) -> MemVR:
        bound = super().bind(family, depth)
        if depth - 1 in bound.early_layers(depth):
            raise BadArgument(
                f"memvr: layers={self.layers}: layer {depth - 1} is the last of this model, and no layer behind it "
                f"could be edited; write for example layers=0-{depth - 2}"
            )
        return bound

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return super().layer_list(depth) if self.rho and self.tau < 1 else ()

    def layer_list(self, depth: int) -> tuple[int, ...]:
        """The layers that are looked at, and those behind them."""
        looked_at = self.early_layers(depth)
        return tuple(sorted({*looked_at, *(layer + 1 for layer in looked_at)}))

    def read(self, prompt: Prompt) -> None:
        columns, real = prompt.layout.image_columns()
        features = prompt.embeddings.gather(1, columns[:, :, None].expand(-1, -1, prompt.embeddings.shape[2]))
        prompt.generation["image"] = features * real[:, :, None]

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if at.project is None:
            return hidden
        done = at.shared.get("done", ~at.layout.has_image).to(hidden.device)
        doubt = torch.full(done.shape, math.nan, device=done.device)
        if not bool(done.all()):
            likeliest = at.project(at.layout.last_row(hidden)).to(hidden.device).topk(LIKELIEST).values
            entropy = torch.special.entr(likeliest.softmax(dim=-1)).sum(dim=-1)
            doubt = torch.where(done, doubt, entropy / math.log(LIKELIEST))
        retraces = doubt > self.tau
        if at.record:
            at.record("uncertainty", doubt)
            at.record("retraces", retraces)
        at.shared.update(done=done | retraces, retraces=retraces, behind=at.layer + 1)
        return hidden

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if at.shared.get("behind") != at.layer or not bool(at.shared["retraces"].any()):
            return hidden
        features = at.generation["image"].to(hidden.device).float()
        retraced = (at.block_input.float() @ features.transpose(1, 2)) @ features
        real = ~at.layout.padding if at.prefill else torch.ones_like(hidden[..., 0], dtype=torch.bool)
        factor = loudness(hidden.float(), real) / loudness(retraced, real).clamp(min=1e-30)
        mixed = torch.lerp(hidden.float(), factor * retraced, self.rho).to(hidden.dtype)
        return torch.where(at.shared["retraces"].to(hidden.device)[:, None, None], mixed, hidden)


def loudness(states: Tensor, real: Tensor) -> Tensor:
    """Mean magnitude (B, 1, 1) of states (B, L, D) over a row's columns, padding (B, L) left out."""
    by_column = states.abs().mean(dim=-1) * real
    return (by_column.sum(dim=-1) / real.sum(dim=-1).clamp(min=1))[:, None, None]

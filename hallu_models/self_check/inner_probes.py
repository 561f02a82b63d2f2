"""Probes of what a method is given inside of a forward, and of the image encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hallu_models.interventions import LayerStep, LogitsStep
from hallu_models.self_check.probes import STEPS, LayerOutputProbe, Probe, apart


class InsideProbe(LayerOutputProbe):
    """Logits made inside of a forward, which have to be those that are made behind it."""

    name: ClassVar[str] = "self-check of early logits inside a forward"

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        assert at.project is not None
        self.seen.passed[at.step] = at.project(at.layout.last_row(hidden))
        return super().layer_output(hidden, at)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        inside, behind = self.seen.passed[at.step], at.early(at.layers)[:, 0]
        kept = ~self.drastic(at.step, behind)
        found = apart(inside[kept.to(inside.device)], behind[kept])
        self.seen.require(
            found <= self.tolerance,
            f"logits of the last layer are others inside of a forward than behind it, by {found:.2g} of their range",
        )
        return logits


class PartsProbe(Probe):
    """A layer made again of its own parts, for the last position."""

    name: ClassVar[str] = "self-check of parts of layers"

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (self.where[0] - 1, self.where[0], depth - 1)

    def inside_layers(self, depth: int) -> tuple[int, ...]:
        return self.where

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        assert at.attended is not None
        self.note(at)
        self.seen.inner["heads"] = at.attended(attention)
        return attention

    def attention_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        self.seen.inner.update(added=at.layout.last_row(hidden), normed=at.layout.last_row(at.block_input))
        return hidden

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        # In the last step other probes edit even rows.
        if at.step < STEPS - 1:
            self.compare(logits, at)
        # One layer's attention hardly shows among many in half precision, so what is edited is the logits.
        return torch.where(self.drastic(at.step, logits)[:, None], -logits, logits)

    def compare(self, logits: Tensor, at: LogitsStep) -> None:
        """Find a problem where a part gives other states than it gave in the model's own forward."""
        assert at.inside is not None
        inside, inner, (before, layer, last) = at.inside, self.seen.inner, at.layers
        between = inside.hidden(before) + inner["added"]
        made = {
            "the norm in front of attention": (inside.attention_norm(layer, inside.hidden(before)), inner["normed"]),
            "the output projection": (inside.output_projection(layer, inner["heads"]), inner["added"]),
            "the feed-forward block": (between + inside.feed_forward(layer, between), inside.hidden(layer)),
            "the last norm": (inside.predict(inside.last_norm(inside.hidden(last))), logits),
        }
        # Odd rows are edited in the prefill.
        rows = slice(None, None, self.copies if at.step == 0 else 1)
        for part, (found, expected) in made.items():
            difference = apart(found[rows], expected[rows])
            self.seen.require(
                difference <= self.tolerance,
                f"{part} gives other states than in the model's own forward, by {difference:.2g} of their range",
            )


@dataclass(frozen=True)
class EncoderProbe(Probe):
    """What the image encoder's feed-forward blocks add, times ``factor``."""

    name: ClassVar[str] = "self-check of image encoder"

    factor: float = 1.0

    def encoder_layers(self, depth: int) -> tuple[int, ...]:
        return tuple(range(depth))

    def encoder_feed_forward_output(self, hidden: Tensor, layer: int) -> Tensor:
        return self.factor * hidden

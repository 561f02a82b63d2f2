"""Small methods that the self-check puts on a model: an edit without effect in some rows, a drastic one in others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hallu_models.engines.branches import Negative
from hallu_models.engines.maps import Maps
from hallu_models.interventions import Decoding, Intervention, LayerStep, LogitsStep, Prompt

STEPS = 4
"""Tokens: the first two show a prefill and a step apart, the third a step behind a step; the last is edited."""


@dataclass
class Seen:
    """What the probes find during one generation."""

    phases: list[tuple[bool, int]] = field(default_factory=list)
    """Prefill or not, and columns so far, of each forward."""
    problems: list[str] = field(default_factory=list)
    passed: dict[int, Tensor] = field(default_factory=dict)
    handed_on: dict[int, Tensor] = field(default_factory=dict)
    inner: dict[str, Tensor] = field(default_factory=dict)

    def require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.problems.append(otherwise)


@dataclass(frozen=True)
class Probe(Intervention):
    """A method that changes nothing in most rows of a batch, and all it can in some.

    where: layers. own: the prompt whose rows are edited drastically, its last copy in the prefill and its first one in
    the last forward; None for none. copies: rows of a prompt, one behind another.
    """

    where: tuple[int, ...] = ()
    own: int | None = None
    copies: int = 2
    tolerance: float = 0.0
    seen: Seen = field(default_factory=Seen)

    def layer_list(self, depth: int) -> tuple[int, ...]:
        return self.where

    def drastic(self, step: int, like: Tensor) -> Tensor:
        """(B,) rows that are edited drastically in a forward; 0 is the prefill. ``like`` (B, ...)."""
        chosen = torch.zeros(len(like), dtype=torch.bool, device=like.device)
        if self.own is not None and step in (0, STEPS - 1):
            chosen[self.copies * self.own + (self.copies - 1 if step == 0 else 0)] = True
        return chosen

    def edited(self, values: Tensor) -> Tensor:
        """Zero in the rows that are edited drastically (B, ...)."""
        rows = self.drastic(len(self.seen.phases) - 1, values)
        return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0.0)

    def note(self, at: LayerStep) -> None:
        if at.layer == self.where[0]:
            self.seen.phases.append((at.prefill, at.columns.length))


class HeadProbe(Probe):
    """Head outputs as they are."""

    name: ClassVar[str] = "self-check of head outputs"

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        return self.edited(outputs)


class RowProbe(Probe):
    """The last row's attention as it is: a distribution over what the row sees."""

    name: ClassVar[str] = "self-check of last row"

    def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        total = attention.sum(dim=-1)
        self.seen.require(
            bool((total - 1).abs().amax() < 1e-3),
            f"the attention of the last row sums to {float(total.amin()):.4g} to {float(total.amax()):.4g}, not to 1",
        )
        hidden = float(attention.masked_fill(at.columns.visible[:, None], 0.0).amax())
        self.seen.require(hidden < 1e-6, f"the last row gives padding an attention of {hidden:.2g}")
        return self.edited(attention)


class ValueProbe(Probe):
    """Values as they are."""

    name: ClassVar[str] = "self-check of values"

    def values(self, values: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        return self.edited(values)


class HidingProbe(Probe):
    """No column is hidden, by a mask that says so."""

    name: ClassVar[str] = "self-check of hidden columns"

    def hidden_columns(self, at: LayerStep) -> Tensor:
        self.note(at)
        rows = self.drastic(len(self.seen.phases) - 1, at.columns.visible)
        return rows[:, None].expand(at.columns.visible.shape)


class TextProbe(Probe):
    """The attention of all rows behind the image as it is: distributions over what these see."""

    name: ClassVar[str] = "self-check of rows behind the image"

    def text_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
        # Blocks of rows make several calls a layer.
        if at.step == len(self.seen.phases):
            self.note(at)
        assert at.rows is not None
        counted = ~at.columns.visible[:, None, None] & at.rows[:, None, :, None]
        hidden = float(attention.where(counted, 0.0).amax())
        self.seen.require(hidden < 1e-6, f"a row behind the image gives padding an attention of {hidden:.2g}")
        return self.edited(attention)


class AttentionOutputProbe(Probe):
    """What attention adds, as it is."""

    name: ClassVar[str] = "self-check of attention output"

    def attention_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        return self.edited(hidden)


class FeedForwardProbe(Probe):
    """What the feed-forward block adds, as it is."""

    name: ClassVar[str] = "self-check of feed-forward output"

    def feed_forward_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        return self.edited(hidden)


class LayerOutputProbe(Probe):
    """What a layer hands on, as it is."""

    name: ClassVar[str] = "self-check of layer output"

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        return self.edited(hidden)


class LogitsProbe(Probe):
    """Next-token logits as they are."""

    name: ClassVar[str] = "self-check of token logits"

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        self.seen.phases.append((at.step == 0, at.step))
        return torch.where(self.drastic(at.step, logits)[:, None], -logits, logits)


class EarlyProbe(LogitsProbe):
    """The last layer's own logits in the place of the model's."""

    name: ClassVar[str] = "self-check of early logits"

    def early_layers(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def token_logits(self, logits: Tensor, at: LogitsStep) -> Tensor:
        return super().token_logits(at.early(at.layers)[:, 0], at)


@dataclass(frozen=True)
class DecodingProbe(Probe):
    """The plain model's own ``tokens`` (B, T), one after another, and once more in two copies of the rows.

    ``given`` are the logits of each step (B, V), and of each copy (2 x B, V).
    """

    name: ClassVar[str] = "self-check of decoding"

    tokens: Tensor = field(default_factory=lambda: torch.zeros(1, 1))
    given: list[Tensor] = field(default_factory=list)

    def decode(self, run: Decoding) -> Tensor:
        self.given.append(run.next(processed=False))
        start = run.save()
        for step in range(1, self.tokens.shape[1]):
            self.given.append(run.next(self.tokens[:, step - 1], processed=False))
        ids = run.ids
        run.restore(start)
        run.reorder(torch.arange(run.rows, device=ids.device).repeat_interleave(2))
        for step in range(1, self.tokens.shape[1]):
            self.given.append(run.next(self.tokens[run.prompts, step - 1], processed=False))
        return torch.cat([ids, self.tokens[:, -1:]], dim=1)


class MapProbe(Probe):
    """The first and the last head's own map, in the place of the backend's outputs."""

    name: ClassVar[str] = "self-check of maps"

    def maps(self, maps: Maps, outputs: Tensor, at: LayerStep) -> Tensor:
        self.note(at)
        made = outputs.clone()
        for head in {0, maps.heads - 1}:
            chosen = torch.full((len(outputs),), head, device=outputs.device)
            made[:, :, head] = maps.outputs(chosen)[:, :, head]
        # What a padding row attends to is nobody's.
        made = torch.where(at.layout.padding[:, : made.shape[1], None, None], outputs, made)
        return self.edited(made)


class PassProbe(HeadProbe):
    """A pass over the prompt sees at its end what the prefill sees there; and where the image is."""

    name: ClassVar[str] = "self-check of passes"

    def read(self, prompt: Prompt) -> None:
        read_again(prompt, self.seen, self.tolerance)
        rows = torch.arange(len(prompt.embeddings), device=prompt.embeddings.device)
        one = rows.new_zeros(len(rows), 1)
        found = prompt.run.head_outputs_along(one, rows, self.where, image=True, scales={})
        self.seen.passed.update({layer: outputs[:, 0] for layer, outputs in found.items()})
        blind = prompt.run.head_outputs_without_image(prompt.layout, self.where)
        last = self.where[-1]
        self.seen.require(
            apart(blind[last], self.seen.passed[last]) > self.tolerance / 10,
            "a pass without the image gives the same head outputs as one with it",
        )
        self.seen.handed_on.update(prompt.run.hidden_states(self.where, image=True))

    def head_outputs(self, outputs: Tensor, at: LayerStep) -> Tensor:
        if at.prefill:
            # Odd rows may be edited by now.
            found = apart(self.seen.passed[at.layer][::2], at.layout.last_row(outputs)[::2])
            self.seen.require(
                found <= self.tolerance,
                f"a pass over the prompt gives other head outputs in layer {at.layer} than the prefill, by {found:.2g} "
                "of their range",
            )
        return super().head_outputs(outputs, at)

    def layer_output(self, hidden: Tensor, at: LayerStep) -> Tensor:
        if at.prefill:
            found = apart(self.seen.handed_on[at.layer][::2], at.layout.last_row(hidden)[::2])
            self.seen.require(
                found <= self.tolerance,
                f"a pass over the prompt gives other hidden states in layer {at.layer} than the prefill, by "
                f"{found:.2g} of their range",
            )
        return hidden


class BranchProbe(Probe):
    """Contrast with the same prompt, two columns further right, in which nothing is to be subtracted."""

    name: ClassVar[str] = "self-check of negative branch"

    def contrasts(self) -> bool:
        return True

    def negative(self, prompt: Prompt) -> Negative:
        again = read_again(prompt, self.seen, self.tolerance)
        active = torch.ones(len(prompt.embeddings), dtype=torch.bool, device=prompt.embeddings.device)
        return Negative(again.padded(2), active)

    def contrast(self, logits: Tensor, negative: Tensor, at: LogitsStep) -> Tensor:
        self.seen.phases.append((at.step == 0, at.step))
        # Edits of other probes reach the main rows alone, and those of their own prompts.
        mine = slice(None) if self.own is None or self.copies == 1 else slice(2 * self.own, 2 * self.own + 1)
        found = apart(negative[mine], logits[mine])
        self.seen.require(
            found <= self.tolerance or (self.own is not None and at.step == STEPS - 1),
            f"negative rows that see the same prompt give other logits at token {at.step + 1}, by {found:.2g} of their "
            "range",
        )
        return torch.where(self.drastic(at.step, logits)[:, None], -logits, 2 * logits - negative)


def read_again(prompt: Prompt, seen: Seen, tolerance: float) -> Any:
    """The prompt as the model reads it once more, which has to be the same."""
    again, own = prompt.run.again(), prompt.run.prompt
    real = own.mask
    seen.require(
        bool(torch.equal(again.mask, own.mask)) and apart(again.embeddings[real], own.embeddings[real]) <= tolerance,
        "the model gives its decoder other embeddings for the same inputs",
    )
    if own.crossing is None:
        words = prompt.run.words()
        away = (own.embeddings - words).abs().amax(dim=-1) > 0
        seen.require(
            bool((away & real).eq(prompt.layout.image).all()),
            "image features are not in the columns of the image token alone",
        )
    return again


def apart(values: Tensor, others: Tensor) -> float:
    """Largest difference of two tensors as a share of the range of the second; infinite where one is no number."""
    values, others = values.float(), others.float().to(values.device)
    difference = float((values - others).abs().amax()) if values.numel() else 0.0
    spread = float(others.amax() - others.amin()) if values.numel() else 1.0
    return difference / max(spread, 1e-12) if np.isfinite(difference) else float("inf")

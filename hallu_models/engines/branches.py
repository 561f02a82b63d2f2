"""The negative branch: every row is paired with one that sees a worse input, and their predictions are contrasted.

The pairing happens inside the language model. ``generate`` and the caller only ever see the main rows: sampling draws
once a main row, beams are the main rows' beams, and scores have the caller's batch size.

``paired`` runs both as one forward of 2B rows with one cache; ``sequential`` runs the negative rows on their own, with
a cache of their own, for runs that are short of memory. Both give the same predictions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import DynamicCache

Mode = Literal["paired", "sequential"]
MODES = ("paired", "sequential")


@dataclass(frozen=True)
class Negative:
    """What the negative rows see instead: embeddings (B, L', D) with left padding, their mask (B, L') of real columns.

    ``active`` (B,) tells which rows are contrasted at all; the others are answered by the plain model.
    """

    embeddings: Tensor
    mask: Tensor
    active: Tensor


def plausible(logits: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Adaptive plausibility: tokens below ``beta`` times the most likely one under ``reference`` become impossible."""
    limit = reference.amax(dim=-1, keepdim=True) + math.log(beta) if beta > 0 else -math.inf
    return logits.masked_fill(reference < limit, -math.inf)


class Branch:
    """The negative rows of one generation. Forward passes go through :meth:`before` and :meth:`after`."""

    def __init__(self, negative: Negative, main: dict[str, Any], mask: Tensor, mode: Mode, decoder: Any) -> None:
        """``main`` are the decoder's arguments in the prefill, ``mask`` (B, L) the main rows' real columns."""
        if not bool(mask[:, -1].all()):
            raise ValueError("a contrast of two branches needs left padding: set padding_side='left'")
        self._mode, self._decoder = mode, decoder
        self._active = negative.active
        length = max(mask.shape[1], negative.mask.shape[1]) if mode == "paired" else negative.mask.shape[1]
        self.extra = length - mask.shape[1] if mode == "paired" else 0
        """Padding columns that the main rows get in front of theirs where the negative prompt is the longer one."""
        self._embeddings = _left(negative.embeddings, length - negative.mask.shape[1], dim=1)
        self._mask = _left(negative.mask.long(), length - negative.mask.shape[1], dim=1)
        self._offset: Tensor | None = None
        self._positions: Tensor | None = None
        positions = main.get("position_ids")
        if positions is not None:
            own = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
            same = negative.mask.shape == mask.shape and bool((negative.mask == mask.bool()).all())
            self._positions = positions if same else own.expand(*positions.shape[:-2], -1, -1)
            self._offset = self._positions[..., -1:] - positions[..., -1:]
        self._cache = DynamicCache(config=decoder.config) if mode == "sequential" else None
        self._hidden: Tensor | None = None
        _reorder_with(main.get("past_key_values"), self._cache)

    @property
    def rows(self) -> int:
        return self._mask.shape[0]

    def before(self, kwargs: dict[str, Any], prefill: bool) -> dict[str, Any]:
        """The decoder's arguments with the negative rows behind the main ones, or as they are after running these."""
        if prefill:
            embeddings, positions = self._embeddings, self._positions
        else:
            embeddings = kwargs["inputs_embeds"]
            given = kwargs.get("position_ids")
            positions = None if given is None or self._offset is None else given + self._offset
            self._mask = nn.functional.pad(self._mask, (0, 1), value=1)
        if self._mode == "sequential":
            own = {"inputs_embeds": embeddings, "attention_mask": self._mask, "past_key_values": self._cache}
            output = self._decoder(**own, position_ids=positions, use_cache=True)
            self._hidden = output.last_hidden_state[:, -1]
            return kwargs
        changed = dict(kwargs)
        extra = self.extra if prefill else 0
        changed["inputs_embeds"] = torch.cat([_left(kwargs["inputs_embeds"], extra, dim=1), embeddings])
        mask = kwargs.get("attention_mask")
        main_mask = self._mask.new_ones(self.rows, self._mask.shape[1] - self.extra) if mask is None else mask
        changed["attention_mask"] = torch.cat([_left(main_mask.long(), self.extra, dim=1), self._mask])
        if positions is not None:
            changed["position_ids"] = torch.cat([_left(kwargs["position_ids"], extra, dim=-1), positions], dim=-2)
        return changed

    def after(self, logits: Tensor, head: nn.Module, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """The main rows' logits (B, length, V), and the last ones (B, V) of main and negative rows in float32."""
        if self._mode == "sequential":
            assert self._hidden is not None
            return logits, logits[:, -1].float(), head(self._hidden).float()
        main, negative = logits.chunk(2)
        main = main[:, -length:]
        return main, main[:, -1].float(), negative[:, -1].float()

    def joined(self, main: Tensor, contrasted: Tensor, last: Tensor) -> Tensor:
        """Main logits (B, L, V) whose last position is ``contrasted`` (B, V) in the active rows."""
        chosen = torch.where(self._active[:, None], contrasted, last)
        return torch.cat([main[:, :-1].float(), chosen[:, None]], dim=1)


def _left(states: Tensor, number: int, dim: int) -> Tensor:
    """Zeros in front along one dimension."""
    if not number:
        return states
    dim %= states.ndim
    shape = [*states.shape[:dim], number, *states.shape[dim + 1 :]]
    return torch.cat([states.new_zeros(shape), states], dim=dim)


def _reorder_with(cache: Any, other: Any) -> None:
    """Let a beam search that reorders the main rows' cache reorder the negative rows with them."""
    if cache is None:
        return

    def reorder(original: Any, index: Tensor) -> None:
        if other is None:
            original(torch.cat([index, index + len(index)]))
        else:
            original(index)
            other.reorder_cache(index)

    cache.reorder_cache = partial(reorder, cache.reorder_cache)

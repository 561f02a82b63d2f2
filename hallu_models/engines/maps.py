"""Whole attention maps of one layer, one head and a block of query rows at a time, never heads x rows x columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines.point import Attending, AttentionPoint
from hallu_models.engines.rows import HIDDEN
from hallu_models.hosts.attention import AttentionCall
from hallu_models.layout import Layout

BLOCK = 128
"""Query rows at a time: 1.5 MB a row of the batch for 3,000 columns in float32."""


class Maps:
    """The attention maps of one layer in the prefill."""

    def __init__(self, call: AttentionCall, layout: Layout) -> None:
        self._call, self._layout = call, layout
        self.heads: int = call.query.shape[1]
        self.length: int = call.query.shape[2]
        self.columns: int = call.key.shape[2]
        self._index = torch.arange(self.columns, device=call.query.device)

    def _blocks(self) -> Iterator[slice]:
        for start in range(0, self.length, BLOCK):
            yield slice(start, min(start + BLOCK, self.length))

    def attention(self, head: Tensor, rows: slice) -> Tensor:
        """Attention (B, rows, Lk) of one head a batch row, ``head`` (B,), in float32."""
        call = self._call
        batch = torch.arange(len(head), device=head.device)
        query = call.query[batch, head, rows].float()
        # The scores are a new tensor, and edited in place.
        scores = call.capped((query @ call.key[batch, head // call.group].float().transpose(1, 2)).mul_(call.scaling))
        return scores.masked_fill_(~self._visible(head, rows), HIDDEN).softmax(dim=-1)

    def head(self, number: int) -> Tensor:
        """The whole map (B, Lq, Lk) of one head, in float32: for diagnostics of short prompts."""
        chosen = torch.full((self._layout.rows,), number, device=self._index.device)
        return self.attention(chosen, slice(0, self.length))

    def _visible(self, head: Tensor, rows: slice) -> Tensor:
        if (shown := self._call.shown) is not None:
            part = shown[:, 0] if shown.shape[1] == 1 else shown[torch.arange(len(head), device=head.device), head]
            return part[:, rows]
        causal = self._index[None, :] <= self._index[rows, None]
        visible = causal & self._layout.columns(self.columns).visible[:, None]
        window = self._call.window
        return visible if window is None else visible & (self._index[rows, None] - self._index[None, :] < window)

    def column_means(self, head: int) -> Tensor:
        """Mean attention (B, Lk) that each column gets from the later, non-padding rows; zero where there are none."""
        chosen = torch.full((self._layout.rows,), head, device=self._index.device)
        total = torch.zeros(self._layout.rows, self.columns, device=self._index.device)
        for rows in self._blocks():
            later = self._index[rows, None] > self._index[None, :]
            counted = later & ~self._layout.padding[:, rows, None]
            total += self.attention(chosen, rows).mul_(counted).sum(dim=1)
        real = (~self._layout.padding).int()
        after = real.flip(1).cumsum(1).flip(1) - real
        number = torch.nn.functional.pad(after, (0, self.columns - self.length))
        return total / number.clamp(min=1)

    def outputs(self, head: Tensor) -> Tensor:
        """Head outputs (B, Lq, H, d), a new tensor, when all heads of a batch row take the map of ``head`` (B,)."""
        value, group = self._call.value, self._call.group
        outputs = value.new_empty(len(head), self.length, self.heads, value.shape[-1])
        for rows in self._blocks():
            attention = self.attention(head, rows).to(value.dtype)
            shared = (attention[:, None] @ value).transpose(1, 2)  # Heads that share values share outputs.
            outputs[:, rows] = shared if group == 1 else shared.repeat_interleave(group, dim=2)
        return outputs


def edit(here: Attending, methods: Sequence[Any]) -> None:
    """Edit whole maps, in the prefill; a second method is given the outputs that the first has made."""
    if here.prefill:
        found = Maps(here.call, here.layout)
        for item in methods:
            here.edit(item.maps(found, here.outputs, here.at(item)))


MAPS = AttentionPoint("maps", ("maps",), edit, undoes=("last row", "rows behind the image"))

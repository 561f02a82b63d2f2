"""The last query row of a layer: scores, attention and output of one position, in O(Lk) work and memory.

In a decode step this row is everything, so the backend is not called at all. Methods chain: each edits the scores as
the method before left them, one softmax follows, then each edits the attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines.point import Attending, AttentionPoint
from hallu_models.engines.step import restored
from hallu_models.hosts.attention import AttentionCall
from hallu_models.layout import Columns, Layout

HIDDEN = -1e9
"""Score of a column that the row may not see: finite, so that means and mixtures of scores stay numbers."""


def seen(scores: Tensor) -> Tensor:
    """Columns (..., Lk) that a row may see, by its scores: to scale those of hidden ones could bring them back."""
    return scores > HIDDEN / 2


def scores(call: AttentionCall, layout: Layout, columns: Columns) -> Tensor:
    """Pre-softmax scores (B, H, Lk) of each row's last position in float32, hidden columns at :data:`HIDDEN`."""
    batch, heads, _, size = call.query.shape
    last = layout.last_row(call.query.transpose(1, 2)).view(batch, -1, call.group, size)
    raw = call.capped((last.float() @ call.key.float().transpose(2, 3)).view(batch, heads, -1) * call.scaling)
    seen = visible(call, layout, columns)
    return raw if seen is None else raw.masked_fill(~seen, HIDDEN)


def visible(call: AttentionCall, layout: Layout, columns: Columns) -> Tensor | None:
    """(B or 1, H or 1, Lk) columns that the last position sees; None for all. Windows come from the backend's mask."""
    if (shown := call.shown) is not None:
        return layout.last_row(shown.transpose(1, 2).expand(layout.rows, -1, -1, -1))
    if call.query.shape[2] == 1 and not layout.any_padding and call.window is None:
        return None
    seen = columns.visible[:, None]
    if call.window is not None:
        seen = seen & (seen.flip(2).cumsum(2).flip(2) <= call.window)
    return seen


def output(call: AttentionCall, attention: Tensor) -> Tensor:
    """Head outputs (B, H, d) of attention (B, H, Lk) over the call's values."""
    batch, heads, length = attention.shape
    grouped = attention.to(call.value.dtype).view(batch, -1, call.group, length)
    return (grouped @ call.value).view(batch, heads, -1)


def replaced(outputs: Tensor, row: Tensor, layout: Layout) -> Tensor:
    """Head outputs (B, Lq, H, d) with each row's last position replaced by (B, H, d)."""
    index = layout.last_index(outputs.shape[1])
    return outputs.index_put((torch.arange(len(index), device=index.device), index), row)


def edit(here: Attending, methods: Sequence[Any]) -> None:
    """Edit the last row of a layer."""
    call, layout = here.call, here.layout
    attended = partial(output, call)
    steps = [(item, replace(here.at(item), attended=attended)) for item in methods]
    raw = scores(call, layout, steps[0][1].columns)
    edited = raw
    for item, at in steps:
        edited = restored(item.row_scores(edited, at), raw, layout)
    plain = edited.softmax(dim=-1)
    made = plain
    for item, at in steps:
        made = restored(item.row_attention(made, at), plain, layout)
    if edited is raw and made is plain:
        # Methods have looked at the row and handed it back, so what the backend makes of it stands.
        return
    new = output(call, made)
    if call.query.shape[2] == 1 and not layout.rows_without_image:
        here.outputs = new[:, None]
    else:
        here.edit(replaced(here.outputs, new, layout))


LAST_ROW = AttentionPoint("last row", ("row_scores", "row_attention"), edit, undoes=("rows behind the image",))

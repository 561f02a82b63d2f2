"""Columns that no row of a layer sees, in the backend's own mask; where it takes none, attention is written out.

A row that would see nothing keeps seeing itself. What a second method hides is hidden too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines import behind, rows
from hallu_models.engines.point import Attending, AttentionPoint
from hallu_models.hosts.attention import AttentionCall
from hallu_models.layout import Layout


def edit(here: Attending, methods: Sequence[Any]) -> None:
    """Hide columns (B, Lk) of the rows with an image."""
    call, layout = here.call, here.layout
    found = [hidden for item in methods if (hidden := item.hidden_columns(here.at(item))) is not None]
    if not found:
        return
    hidden = torch.stack([one.to(call.query.device) for one in found]).any(dim=0) & layout.has_image[:, None]
    here.with_mask(_mask(call, layout, hidden))
    if not call.takes_masks:
        here.outputs = _outputs(here.call, layout)


def _mask(call: AttentionCall, layout: Layout, hidden: Tensor) -> Tensor:
    """The call's mask (B, H or 1, Lq, Lk) without the columns ``hidden`` (B, Lk)."""
    length, columns = call.query.shape[2], call.key.shape[2]
    visible = call.shown
    if visible is None and length > 1:
        visible = behind.visible(call, layout, slice(0, length))
    elif visible is None:
        found = rows.visible(call, layout, layout.columns(columns))
        visible = call.query.new_ones(1, 1, 1, columns, dtype=torch.bool) if found is None else found[:, :, None]
    kept = visible & ~hidden[:, None, None]
    itself = (
        torch.arange(columns, device=hidden.device)
        == torch.arange(columns - length, columns, device=hidden.device)[:, None]
    )
    kept = kept | (visible & itself & ~kept.any(dim=-1, keepdim=True))
    mask = call.mask
    if isinstance(mask, Tensor) and mask.ndim == 4 and mask.is_floating_point():
        return mask[..., :columns].masked_fill(~kept, torch.finfo(mask.dtype).min)
    return kept


def _outputs(call: AttentionCall, layout: Layout) -> Tensor:
    """Head outputs (B, Lq, H, d) under the call's mask, a block of query rows at a time."""
    batch, heads, length, _ = call.query.shape
    size = max(1, behind.ENTRIES // (batch * heads * call.key.shape[2]))
    blocks = [slice(start, min(start + size, length)) for start in range(0, length, size)]
    made = [behind.block_outputs(call, behind.block_scores(call, layout, block).softmax(dim=-1)) for block in blocks]
    return torch.cat(made, dim=1)


HIDING = AttentionPoint("hidden columns", ("hidden_columns",), edit)

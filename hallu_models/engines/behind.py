"""All rows behind the image: the text of the prompt, in blocks, and every generated token.

Methods chain as on the last row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hallu_models.engines.point import Attending, AttentionPoint
from hallu_models.engines.rows import HIDDEN
from hallu_models.engines.rows import scores as last_scores
from hallu_models.engines.step import restored
from hallu_models.hosts.attention import AttentionCall
from hallu_models.layout import Layout

ENTRIES = 2**24
"""Scores at a time: 64 MB in float32."""


def edit(here: Attending, methods: Sequence[Any]) -> None:
    """Edit scores and attention (B, H, R, Lk) of the rows behind the image, a block of R rows at a time."""
    call, layout = here.call, here.layout
    batch, heads, length, _ = call.query.shape
    if length == 1:
        made = _edited(here, methods, layout.has_image[:, None], slice(0, 1))
        here.outputs = made if not layout.rows_without_image else restored(made, here.outputs, layout)
        return
    behind = layout.after if here.prefill else layout.has_image[:, None].expand(-1, length)
    wanted = behind.any(dim=0).nonzero()[:, 0].tolist()
    if not wanted:
        return
    outputs = here.outputs.clone()
    size = max(1, ENTRIES // (batch * heads * call.key.shape[2]))
    for start in range(wanted[0], length, size):
        block = slice(start, min(start + size, length))
        made = _edited(here, methods, behind[:, block], block)
        outputs[:, block] = torch.where(behind[:, block, None, None], made, outputs[:, block])
    here.outputs = outputs


def _edited(here: Attending, methods: Sequence[Any], rows: Tensor, block: slice) -> Tensor:
    """Head outputs (B, R, H, d) of a block of rows."""
    call, layout = here.call, here.layout
    steps = [(item, dataclasses.replace(here.at(item), rows=rows)) for item in methods]
    if call.query.shape[2] == 1:
        scores = last_scores(call, layout, steps[0][1].columns)[:, :, None]
    else:
        scores = block_scores(call, layout, block)
    for item, at in steps:
        scores = item.text_scores(scores, at)
    attention = scores.softmax(dim=-1)
    for item, at in steps:
        attention = item.text_attention(attention, at)
    return block_outputs(call, attention)


def block_scores(call: AttentionCall, layout: Layout, block: slice) -> Tensor:
    """Pre-softmax scores (B, H, R, Lk) of a block of query rows in float32; hidden columns at ``HIDDEN``."""
    query = call.query[:, :, block].float()
    batch, heads, rows, size = query.shape
    grouped = query.reshape(batch, -1, call.group * rows, size)
    scores = (grouped @ call.key.float().transpose(2, 3)).view(batch, heads, rows, -1).mul_(call.scaling)
    return call.capped(scores).masked_fill_(~visible(call, layout, block), HIDDEN)


def visible(call: AttentionCall, layout: Layout, block: slice) -> Tensor:
    """(B or 1, H or 1, R, Lk) columns that these of several rows see."""
    if (shown := call.shown) is not None:
        return shown[:, :, block]
    index = torch.arange(call.key.shape[2], device=call.query.device)
    rows = index[-call.query.shape[2] :][block, None]
    seen = (index <= rows) & layout.columns(len(index)).visible[:, None]
    if call.window is not None:
        seen = seen & (rows - index < call.window)
    return seen[:, None]


def block_outputs(call: AttentionCall, attention: Tensor) -> Tensor:
    """Head outputs (B, R, H, d) of attention (B, H, R, Lk) over the call's values."""
    batch, heads, rows, length = attention.shape
    grouped = attention.to(call.value.dtype).reshape(batch, -1, call.group * rows, length)
    return (grouped @ call.value).view(batch, heads, rows, -1).transpose(1, 2)


ROWS_BEHIND = AttentionPoint("rows behind the image", ("text_scores", "text_attention"), edit)

"""A Llama written out from its equations: one row, no padding, no cache, every attention map in full.

It shares weights and image embeddings with the model under test and nothing else, so that what an engine does to
batches, caches and backends can be checked against what a paper says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Heads = Callable[[int, Tensor], Tensor]
"""Layer number and head outputs (H, L, d) to edited head outputs."""

Attend = Callable[[int, Tensor], Tensor]
"""Layer number and causally masked scores (H, L, L), -inf where hidden, to attention (H, L, L)."""


Hidden = Callable[[int, Tensor], Tensor]
"""Layer number and hidden states (L, D) to edited ones."""


def softmax(layer: int, scores: Tensor) -> Tensor:
    return scores.softmax(dim=-1)


def _norm(states: Tensor, norm: Any) -> Tensor:
    return states / (states.square().mean(-1, keepdim=True) + norm.variance_epsilon).sqrt() * norm.weight


def _rotate(states: Tensor, base: float) -> Tensor:
    """Rotary positions 0, 1, ... on (H, L, d)."""
    half = states.shape[-1] // 2
    frequency = base ** -(torch.arange(half) / half)
    angle = torch.arange(states.shape[1])[:, None] * frequency[None]
    first, second = states[..., :half], states[..., half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], dim=-1)


def embeddings(model: Any, ids: Tensor, pixel_values: Tensor | None) -> Tensor:
    """Input embeddings (L, D) of one row of ids (L,), image features in their places."""
    rows = model.get_input_embeddings()(ids).clone()
    if pixel_values is not None:
        features = torch.cat(list(model.get_image_features(pixel_values).pooler_output))
        # A random model may generate the placeholder's id later on; that is text.
        rows[(ids == model.config.image_token_id).nonzero()[: len(features), 0]] = features
    return rows


def same(layer: int, states: Tensor) -> Tensor:
    return states


def forward(
    model: Any,
    rows: Tensor,
    edit: Heads = same,
    attend: Attend = softmax,
    *,
    values: Heads = same,
    attention: Hidden = same,
    feed_forward: Hidden = same,
    handed_on: Hidden = same,
) -> Tensor:
    """Logits (L, V) for input embeddings (L, D).

    values: edits the values (Hkv, L, d). attention, feed_forward: edit what these add. handed_on: what a layer gives.
    """
    decoder = model.get_decoder()
    config = decoder.config
    heads, kv_heads, length = config.num_attention_heads, config.num_key_value_heads, rows.shape[0]
    size = config.hidden_size // heads
    hidden_from = torch.full((length, length), float("-inf")).triu(1)
    if (window := getattr(config, "sliding_window", None)) is not None:
        hidden_from = hidden_from + torch.full((length, length), float("-inf")).tril(-window)
    for number, layer in enumerate(decoder.layers):
        x = _norm(rows, layer.input_layernorm)
        a = layer.self_attn
        query, key, value = (
            (x @ p.weight.T).view(length, -1, size).transpose(0, 1) for p in (a.q_proj, a.k_proj, a.v_proj)
        )
        base = config.rope_parameters["rope_theta"]
        query, key = _rotate(query, base), _rotate(key, base)
        value = values(number, value)
        key, value = (states.repeat_interleave(heads // kv_heads, dim=0) for states in (key, value))
        weights = attend(number, query @ key.transpose(1, 2) / size**0.5 + hidden_from)
        outputs = edit(number, weights @ value)
        rows = rows + attention(number, outputs.transpose(0, 1).reshape(length, -1) @ a.o_proj.weight.T)
        x = _norm(rows, layer.post_attention_layernorm)
        m = layer.mlp
        inner = torch.nn.functional.silu(x @ m.gate_proj.weight.T) * (x @ m.up_proj.weight.T)
        rows = handed_on(number, rows + feed_forward(number, inner @ m.down_proj.weight.T))
    return logits(model, rows)


def logits(model: Any, rows: Tensor, normed: bool = True) -> Tensor:
    """Logits (L, V) of hidden states (L, D), behind the last norm or without it."""
    return (_norm(rows, model.get_decoder().norm) if normed else rows) @ model.lm_head.weight.T

"""Columns that no row of a layer sees: on backends that take no mask, where nothing is left, and with other edits."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from conftest import MIXED, prompts, take, tiny_llava
from test_edit_points import LAYERS, STEPS, TOKENS, Hiding, Named, Toy, answered, apart, tiny
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from hallu_models.interventions import LayerStep
from hallu_models.testing import dense


def unmasked(module, query, key, value, mask, **options):
    """As flash attention, which is given no mask at all where nothing is padded."""
    assert mask is None
    return sdpa_attention_forward(module, query, key, value, None, **options)


@pytest.mark.parametrize("window", [None, 13])
def test_where_the_backend_takes_no_mask_attention_is_written_out(window):
    AttentionInterface.register("unmasked_flash", unmasked)
    AttentionMaskInterface.register("unmasked_flash", lambda *args, **kwargs: None)
    batch = take(prompts(MIXED), 1)
    expected = answered(tiny_llava(2, window=window), (Hiding(),), batch, TOKENS[1:2])
    model = tiny_llava(2, window=window)
    model.get_decoder().config._attn_implementation = "unmasked_flash"
    if window is None:
        assert apart(answered(model, (Hiding(),), batch, TOKENS[1:2]), expected) < 1e-5
    else:
        # The backend knows windows by itself, and so does what is written out: in these layers alone.
        found = answered(model, (Hiding(layers="0-5"),), batch, TOKENS[1:2])
        everywhere = answered(tiny_llava(2, window=window), (Hiding(layers="0-5"),), batch, TOKENS[1:2])
        assert apart(found, everywhere) < 1e-5


class Everything(Toy):
    """All columns, in every row."""

    def hidden_columns(self, at: LayerStep) -> Tensor:
        return torch.ones_like(at.columns.visible)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_row_that_would_see_nothing_sees_itself(attention):
    model, batch = tiny("grouped", attention), prompts(MIXED[:1])
    found = answered(model, (Everything(),), batch, TOKENS[:1])[:, 0]

    def attend(layer: int, scores: Tensor) -> Tensor:
        itself = torch.eye(scores.shape[-1]).expand_as(scores)
        return itself if layer in LAYERS else scores.softmax(-1)

    single = take(batch, 0)
    ids = torch.cat([single["input_ids"][0], TOKENS[0, :-1]])
    with torch.no_grad():
        expected = dense.forward(model, dense.embeddings(model, ids, single["pixel_values"]), attend=attend)
    assert apart(found, expected[-STEPS:]) < 1e-5


class Text(Toy):
    name: ClassVar[str] = "text"

    def hidden_columns(self, at: LayerStep) -> Tensor:
        return at.columns.before


def test_what_two_methods_hide_is_hidden_and_later_edits_do_not_see_it():
    model, batch = tiny("grouped"), prompts(MIXED)
    seen = []

    class Look(Named):
        name: ClassVar[str] = "look"

        def row_attention(self, attention: Tensor, at: LayerStep) -> Tensor:
            hidden = at.columns.before | Hiding().hidden_columns(at)
            seen.append(float((attention * hidden[:, None]).amax()))
            return attention

    both = answered(model, (Hiding(), Text(), Look(layers="1+3")), batch, TOKENS)
    assert max(seen) == 0.0
    assert len(seen) == 2 * STEPS
    for one in (Hiding(), Text()):
        assert apart(both, answered(model, (one,), batch, TOKENS)) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_and_half_precision_leave_numbers(attention, dtype):
    model, batch = tiny_llava(2, attention=attention).to(dtype), prompts(MIXED)
    batch["pixel_values"] = batch["pixel_values"].to(dtype)
    for toy in (Hiding(layers="all"), Everything(layers="all")):
        assert bool(answered(model, (toy,), batch, TOKENS).isfinite().all())

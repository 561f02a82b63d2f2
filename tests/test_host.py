"""Finding decoder, layers and image tokens in models of other shapes, and saying which part is missing."""

from __future__ import annotations

import pytest
import torch
from conftest import IMAGE, MIXED, prompts, tiny_llava

import hallu_models
from hallu_models.hosts import host


def test_layers_are_found_in_order(model):
    found = host.inspect(model)
    assert list(found.attention) == [layer.self_attn for layer in model.get_decoder().layers]
    assert (found.heads, found.kv_heads, found.depth) == (4, model.config.text_config.num_key_value_heads, 6)
    assert found.image_tokens == {IMAGE}
    assert found.family == "llava"


def test_inspection_leaves_no_trace(model):
    hallu = host.inspect(model)
    assert hallu.decoder.config._attn_implementation == "sdpa"
    assert model(**prompts(MIXED)).logits.isfinite().all()


def test_a_text_model_is_refused():
    from transformers import LlamaConfig, LlamaForCausalLM

    text = LlamaForCausalLM(
        LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    with pytest.raises(hallu_models.UnsupportedModel, match="image token"), hallu_models.attach(text, "vhr"):
        pass


def test_a_model_without_generate_is_refused(model):
    with pytest.raises(hallu_models.UnsupportedModel, match="generate"):
        host.inspect(model.model.vision_tower)


def test_attention_that_ignores_the_name_is_refused(plain_heads, monkeypatch):
    decoder = plain_heads.get_decoder()
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_can_set_attn_implementation", lambda: False)
        with pytest.raises(hallu_models.UnsupportedModel, match="cannot be re-routed"):
            host.inspect(plain_heads)
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "set_attn_implementation", lambda name: None)
        with pytest.raises(hallu_models.UnsupportedModel, match="ignore the name"):
            host.inspect(plain_heads)


def test_load_refuses_what_is_not_an_image_text_model(tmp_path):
    from transformers import BertConfig

    BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(hallu_models.UnsupportedModel, match="'bert' is not an image-text-to-text model"):
        hallu_models.load(str(tmp_path))


def test_load_says_what_pretrained_may_be(tmp_path):
    with pytest.raises(ValueError, match=r"no model configuration there.*demo"):
        hallu_models.load(str(tmp_path / "nothing"))


def test_bfloat16_runs():
    model = tiny_llava(2).to(torch.bfloat16)
    batch = prompts(MIXED)
    batch["pixel_values"] = batch["pixel_values"].to(torch.bfloat16)
    with hallu_models.attach(model, "vhr"):
        assert model.generate(**batch, max_new_tokens=4).shape[1] == batch["input_ids"].shape[1] + 4

"""Putting interventions on a model and taking them off: the model afterwards is the model before."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava

import hallu_models
from hallu_models.hosts import attention
from hallu_models.interventions.base import Intervention
from hallu_models.interventions.vhr import VHR


def state_of(model):
    """Everything a session could leave behind, comparable."""
    hooks = {
        name: (len(module._forward_pre_hooks), len(module._forward_hooks), len(module._forward_pre_hooks_with_kwargs))
        for name, module in model.named_modules()
    }
    attributes = {name: sorted(vars(module)) for name, module in model.named_modules()}
    names = [module.config._attn_implementation for module in model.modules() if hasattr(module, "config")]
    return copy.deepcopy(
        (hooks, attributes, names, model.config.to_dict(), len(attention._EDITS), model.generation_config.to_dict())
    )


@dataclass(frozen=True)
class Broken(Intervention):
    """Fails in the third forward pass."""

    name: ClassVar[str] = "broken"

    def head_outputs(self, outputs, at):
        at.state["steps"] = at.state.get("steps", 0) + 1
        if at.state["steps"] == 3:
            raise ZeroDivisionError("in the middle of generate")
        return outputs * 2


@pytest.fixture
def before(plain_heads):
    plain_heads(**prompts(MIXED))  # transformers installs hooks of its own in the first forward.
    return state_of(plain_heads)


def test_clean_after_use(plain_heads, before):
    batch = prompts(MIXED)
    plain = plain_heads(**batch).logits
    with hallu_models.attach(plain_heads, "vhr"):
        assert plain_heads.get_decoder().config._attn_implementation == "hallu_sdpa"
        assert state_of(plain_heads) != before
        plain_heads.generate(**batch, max_new_tokens=3)
    assert state_of(plain_heads) == before
    assert torch.equal(plain_heads(**batch).logits, plain)


def test_clean_after_an_exception_in_the_middle_of_generate(plain_heads, before):
    batch = prompts(MIXED)
    plain = plain_heads(**batch).logits
    with pytest.raises(ZeroDivisionError), hallu_models.attach(plain_heads, Broken()):
        plain_heads.generate(**batch, max_new_tokens=8)
    assert state_of(plain_heads) == before
    assert torch.equal(plain_heads(**batch).logits, plain)


def test_a_session_goes_on_after_an_exception(plain_heads):
    batch = prompts(MIXED)
    with hallu_models.attach(plain_heads, "vhr"):
        expected = plain_heads.generate(**batch, max_new_tokens=6, do_sample=False)
    with hallu_models.attach(plain_heads, "vhr"):
        with pytest.raises(ValueError, match="use_cache"):
            plain_heads.generate(**batch, max_new_tokens=6, use_cache=False)
        with pytest.raises(ValueError, match="input_ids"):
            plain_heads(inputs_embeds=plain_heads.get_input_embeddings()(batch["input_ids"]))
        assert plain_heads.generate(**batch, max_new_tokens=6, do_sample=False).tolist() == expected.tolist()


def test_clean_after_an_exception_in_the_text_only_pass(plain_heads, before, monkeypatch):
    batch = prompts(MIXED)
    monkeypatch.setattr(torch.Tensor, "gather", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), hallu_models.attach(plain_heads, "vhr"):
        plain_heads.generate(**batch, max_new_tokens=3)
    assert state_of(plain_heads) == before


@pytest.mark.parametrize("arguments", [{"alpha": -1}, {"layers": "40"}, {"gamma": 1}, {"alpha": "abc"}])
def test_clean_after_bad_parameters(plain_heads, before, arguments):
    with pytest.raises(ValueError, match="vhr"), hallu_models.attach(plain_heads, "vhr", **arguments):
        pass
    assert state_of(plain_heads) == before


def test_no_layers_touches_nothing(plain_heads, before):
    with hallu_models.attach(plain_heads, "vhr", layers=""):
        assert state_of(plain_heads) == before


def test_only_the_language_model_is_switched(plain_heads):
    with hallu_models.attach(plain_heads, "vhr"):
        assert plain_heads.model.vision_tower.config._attn_implementation == "sdpa"


def test_nesting_is_refused_with_the_alternative(plain_heads, before):
    with (
        hallu_models.attach(plain_heads, "vhr"),
        pytest.raises(RuntimeError, match="composition"),
        hallu_models.attach(plain_heads, "vhr"),
    ):
        pass
    assert state_of(plain_heads) == before


def test_two_models_do_not_share_a_session():
    first, second = tiny_llava(4), tiny_llava(4)
    batch = prompts(MIXED)
    with hallu_models.attach(first, "vhr"):
        edited, plain = first(**batch).logits, second(**batch).logits
    assert not torch.equal(edited, plain)
    assert torch.equal(plain, first(**batch).logits)


def test_each_generation_starts_anew(plain_heads):
    """A second generation in one session must not see the heads of the first."""
    first, second = prompts(MIXED, seed=1), prompts([(4, 4)], seed=2)
    with hallu_models.attach(plain_heads, "vhr", layers="all"):
        expected = plain_heads.generate(**second, max_new_tokens=6, do_sample=False)
    with hallu_models.attach(plain_heads, "vhr", layers="all") as session:
        plain_heads.generate(**first, max_new_tokens=6, do_sample=False)
        again = plain_heads.generate(**second, max_new_tokens=6, do_sample=False)
        assert session.observations["vhd"].values.shape == (1, 6, 4)
    assert again.tolist() == expected.tolist()


def test_flash_attention_still_finds_its_name(plain_heads, monkeypatch):
    """Flash attention looks its kernels up by the name in the module's configuration."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    seen = []

    def fake_flash(module, *args, **kwargs):
        seen.append((module.config._attn_implementation, module.layer_idx, module.config.hidden_size))
        return sdpa_attention_forward(module, *args, **kwargs)

    AttentionInterface.register("fake_flash", fake_flash)
    AttentionMaskInterface.register("fake_flash", ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    batch = prompts(MIXED)
    with hallu_models.attach(plain_heads, "vhr"):
        expected = plain_heads(**batch).logits
    decoder = plain_heads.get_decoder()
    try:
        decoder.config._attn_implementation = "fake_flash"
        with hallu_models.attach(plain_heads, "vhr"):
            seen.clear()
            assert torch.equal(plain_heads(**batch).logits, expected)
        assert decoder.config._attn_implementation == "fake_flash"
    finally:
        decoder.config._attn_implementation = "sdpa"
    assert {name for name, _, _ in seen} == {"fake_flash"}
    assert {layer for _, layer, _ in seen} == set(range(6))


def test_interventions_are_immutable_values():
    assert VHR(alpha=2.0) == VHR() == pickle.loads(pickle.dumps(VHR()))
    with pytest.raises(AttributeError):
        VHR().alpha = 3
    with pytest.raises(ValueError, match="alpha"):
        VHR(alpha=float("nan"))


def test_an_instance_and_a_name_are_the_same(plain_heads):
    batch = prompts(MIXED)
    with hallu_models.attach(plain_heads, "vhr", alpha=3, layers="1+3"):
        named = plain_heads(**batch).logits
    with hallu_models.attach(plain_heads, VHR(alpha=3.0, layers="1+3")):
        assert torch.equal(plain_heads(**batch).logits, named)
    with pytest.raises(ValueError, match="carries its own"), hallu_models.attach(plain_heads, VHR(), alpha=2):
        pass


def test_compositions_run_in_the_order_written(plain_heads):
    with pytest.raises(ValueError, match="vhr"), hallu_models.attach(plain_heads, "vhr+vhr"):
        pass
    with pytest.raises(ValueError, match="vhr"), hallu_models.attach(plain_heads, "vhx"):
        pass

"""NaN and infinity are errors that say where, in every precision; impossible tokens are none."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from PIL import Image
from test_contract import session
from test_session import state_of
from transformers.modeling_outputs import CausalLMOutputWithPast

import hallu_models
from hallu_models import generation, models
from hallu_models.adapter import DocumentError
from hallu_models.hosts import generate
from hallu_models.interventions.base import Intervention
from hallu_models.session.finite import NotFinite

BATCH = prompts(MIXED)
STEPS = 6
OTHERS = torch.tensor([token for token in range(64) if token != 5])


@dataclass(frozen=True)
class Spoiled(Intervention):
    """Makes one row's head outputs another number at one token, in layer 3 of layers 1 to 4."""

    name: ClassVar[str] = "spoiled"
    layers: str = "1-4"
    value: float = math.nan
    row: int = 2
    token: int = 4

    def head_outputs(self, outputs, at):
        seen = at.state["token"] = at.state.get("token", 0) + 1
        if (at.layer, seen) != (3, self.token):
            return outputs
        outputs = outputs.clone()
        outputs[self.row] = self.value
        return outputs


def answered(model, method, **options):
    batch = {name: value.to(model.dtype) if name == "pixel_values" else value for name, value in BATCH.items()}
    with torch.no_grad(), hallu_models.attach(model, method, check=False):
        return model.generate(**batch, max_new_tokens=STEPS, **options)


@pytest.mark.parametrize("decoding", [{}, {"do_sample": True}], ids=["greedy", "sampling"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_an_edited_row_names_method_layer_token_and_row(dtype, value, decoding):
    model = copy.deepcopy(tiny_llava(4)).to(dtype)
    answered(model, Spoiled(value=1.0), **decoding)
    before = state_of(model)
    with pytest.raises(NotFinite, match="method spoiled: the logits of token 4 in row 3 are NaN or infinite") as caught:
        answered(model, Spoiled(value=value), **decoding)
    assert (caught.value.row, caught.value.token) == (2, 4)
    if not decoding:
        assert "first in the attention of layer 3, which spoiled edits" in str(caught.value)
    assert "bfloat16 or float32" in str(caught.value)
    assert state_of(model) == before


def test_a_beam_is_a_row_of_its_prompt():
    with pytest.raises(NotFinite, match=r"token 2 in row 3 ") as caught:
        answered(tiny_llava(4), Spoiled(row=7, token=2), num_beams=3, do_sample=False)
    assert caught.value.row == 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["layers.2.mlp.down_proj.weight", "vision_tower", "lm_head.weight"])
@pytest.mark.parametrize("method", ["none", "eah"])
def test_a_weight_is_named_with_a_method_and_without(method, name, value):
    host = hallu_models.load("demo", device="cpu")
    spoiled = next(one for one, _ in host.model.named_parameters() if name in one)
    with torch.no_grad():
        host.model.get_parameter(spoiled).view(-1)[0] = value
    question = [hallu_models.conversation(Image.new("RGB", (64, 64), "red"), "Describe this image.")]
    with (
        hallu_models.attach(host, None if method == "none" else method, check=False) as attached,
        pytest.raises(NotFinite, match=rf"method {method}: .* row 1 .* first in the weight {spoiled}"),
    ):
        generation.generate_in(attached, question, max_new_tokens=4)


def test_logits_themselves_are_seen():
    model = tiny_llava(4)
    hook = model.lm_head.register_forward_hook(lambda _, args, output: output.index_fill(-1, torch.tensor(9), math.inf))
    with pytest.raises(NotFinite, match=r"method vhr: .* token 1 in row 1 .* first behind the last layer"):
        answered(model, "vhr")
    hook.remove()
    answered(model, "vhr")


@pytest.mark.parametrize("branch", ["paired", "sequential"])
def test_impossible_tokens_are_no_error(branch):
    model = tiny_llava(4)
    with torch.no_grad(), session(model, "cicd", BATCH, {"beta": 0.5}, branch=branch).attached():
        output = model.generate(**BATCH, max_new_tokens=3, output_logits=True, return_dict_in_generate=True)
    assert bool(output.logits[0].eq(-math.inf).any())


def test_looking_reads_nothing_back_while_it_generates():
    """A tensor without data can be read by nobody."""
    made = CausalLMOutputWithPast(logits=torch.empty(4, 1, 64, device="meta"))
    with generate.looked_at(torch.nn.Identity()) as numbers:
        assert numbers(None, (), made) is None


def test_a_logit_that_is_taken_away_again_is_seen():
    with pytest.raises(NotFinite, match="token 4 in row 3"):
        answered(tiny_llava(4), Spoiled(), remove_invalid_values=True)


def test_a_generate_that_was_wrapped_keeps_its_processors(monkeypatch):
    model = tiny_llava(4)
    only = functools.partial(
        model.generate, logits_processor=[lambda _, scores: scores.index_fill(1, OTHERS, -math.inf)]
    )
    monkeypatch.setattr(model, "generate", only)
    assert set(answered(model, "vhr")[:, -STEPS:].reshape(-1).tolist()) == {5}


def test_a_checkpoint_that_is_broken_ends_a_run_of_the_control_arm_with_its_document(tmp_path, monkeypatch):
    from test_adapter import requests

    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))
    model = models.llava_base(pretrained="demo", device="cpu", batch_size=2)
    with torch.no_grad():
        model.host.model.get_parameter("lm_head.weight")[5] = math.nan
    with pytest.raises(DocumentError, match=r"method none, task some_task, .*document [01]: NotFinite: .*lm_head"):
        model.generate_until(requests(model, [{"image": n, "text": "Describe."} for n in range(2)]))
    assert not [path for path in tmp_path.rglob("*.jsonl") if path.read_text()], "no answer is kept"


def test_the_document_named_is_the_one_whose_row_it_is(tmp_path, monkeypatch):
    from test_adapter import requests

    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))
    model = models.llava_base(pretrained="demo", device="cpu", batch_size=4)
    model.interventions = (Spoiled(layers="1-4", row=1, token=2).bind(None, model.host.depth),)
    texts = ["Describe this image very well.", "a", "a a a", "Describe this image."]
    # The longest prompt is the first row: rows are documents 0, 3, 2, 1.
    with pytest.raises(DocumentError, match=r"document 3: NotFinite: method spoiled: .* token 2 in row 2 .*layer 3"):
        model.generate_until(requests(model, [{"image": n, "text": text} for n, text in enumerate(texts)]))

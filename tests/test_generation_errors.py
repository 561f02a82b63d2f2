"""What goes wrong while a model generates says where, and what cannot be asked for says so by name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from PIL import Image
from test_contract import METHODS, STRONG, session
from transformers import DynamicCache

import hallu_models
from hallu_models import generation, models
from hallu_models.adapter import DocumentError
from hallu_models.hosts import forward
from hallu_models.interventions.base import Intervention
from hallu_models.interventions.vhr import VHR
from hallu_models.notes import notes
from registry.arguments import params
from registry.cards import built_in

BATCH = prompts(MIXED)
NAME = forward.cache_parameter(tiny_llava(4).forward)


def question(seed=0):
    return hallu_models.conversation(Image.new("RGB", (64, 64), (40 * seed, 90, 20)), "Describe this image.")


@pytest.fixture(scope="module")
def host():
    return hallu_models.load("demo", device="cpu")


@dataclass(frozen=True)
class Failing(Intervention):
    """Fails at its third token, in layer 2 of layers 1 to 4."""

    name: ClassVar[str] = "failing"
    layers: str = "1-4"

    def head_outputs(self, outputs, at):
        seen = at.state["token"] = at.state.get("token", 0) + 1
        if (at.layer, seen) == (2, 3):
            raise KeyError("what went wrong")
        return outputs


def test_an_error_of_a_method_keeps_its_kind_and_says_where():
    model = tiny_llava(4)
    with hallu_models.attach(model, Failing(), check=False), pytest.raises(KeyError) as caught:
        model.generate(**BATCH, max_new_tokens=6)
    assert notes(caught.value) == ["method failing, layer 2, token 3"]


def test_an_error_between_layers_says_which_token():
    model = tiny_llava(4)

    def fail(ids, scores):
        return scores if ids.shape[1] < BATCH["input_ids"].shape[1] + 2 else 1 / 0

    with hallu_models.attach(model, "vhr"), pytest.raises(ZeroDivisionError) as caught:
        model.generate(**BATCH, max_new_tokens=6, logits_processor=[fail])
    assert notes(caught.value) == ["method vhr, token 3"]


def test_the_adapter_adds_the_document(tmp_path, monkeypatch):
    from test_adapter import requests

    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))
    model = models.llava_base(pretrained="demo", device="cpu")
    model.interventions = (Failing().bind(None, model.host.depth),)
    said = r"document 0: KeyError: 'what went wrong' \(method failing, layer 2, token 3\)$"
    with pytest.raises(DocumentError, match=said):
        model.generate_until(requests(model, [{"image": 1, "text": "Describe."}]))


class Kept:
    """A streamer that keeps what it is given."""

    def __init__(self):
        self.given, self.ended = [], False

    def put(self, value):
        self.given.append(value.reshape(-1).tolist())

    def end(self):
        self.ended = True


@pytest.mark.parametrize("method", [None, *METHODS])
def test_a_streamer_is_given_the_tokens_of_the_answer(host, method):
    parameters = {**STRONG.get(method, {}), "other_images": [Image.new("RGB", (64, 64), "blue")]} if method else {}
    streamer = Kept()
    (answer,) = host.generate([question()], method, max_new_tokens=5, streamer=streamer, **parameters)
    prompt, *tokens = streamer.given
    assert len(prompt) == answer.prompt_tokens
    assert tuple(token for one in tokens for token in one) == answer.token_ids
    assert streamer.ended


@pytest.mark.parametrize(("conversations", "beams"), [(2, 1), (1, 3)])
def test_a_streamer_of_several_is_refused(host, conversations, beams):
    with pytest.raises(
        ValueError, match=f"{conversations} conversations, num_beams={beams}; a streamer takes .* of one"
    ):
        host.generate([question(n) for n in range(conversations)], "vhr", num_beams=beams, streamer=Kept())


@pytest.mark.parametrize("method", [None, "vhr", "eah+vhr", Failing()], ids=["none", "one", "two", "instance"])
def test_unknown_options_name_the_allowed_ones(host, method):
    with pytest.raises(ValueError, match=r"max_lenght.* max_new_tokens, .*streamer"):
        host.generate([question()], method, max_lenght=3)


def test_an_option_with_a_typing_error_is_suggested(host):
    with pytest.raises(ValueError, match=r"did you mean max_new_tokens\?"):
        host.generate([question()], "vhr", max_new_token=3)


def read(model, batch):
    cache = DynamicCache(config=model.get_decoder().config)
    with torch.no_grad():
        model(**batch, **{NAME: cache})
    return cache


@pytest.mark.parametrize("branch", ["paired", "sequential"])
def test_a_negative_branch_refuses_a_cache_that_holds_a_prompt(branch):
    model = tiny_llava(4)
    cache = read(model, {name: value[:, :-1] if value.ndim == 2 else value for name, value in BATCH.items()})
    with (
        session(model, "cicd", BATCH, {}, branch=branch).attached(),
        pytest.raises(ValueError, match=r"cache given holds \d+ columns already, and cicd reads .*prompt and no cache"),
    ):
        model.generate(**BATCH, **{NAME: cache}, max_new_tokens=3)


def test_other_methods_refuse_a_cache_that_they_have_not_seen_filled():
    model = tiny_llava(4)
    cache = read(model, {name: value[:, :-1] if value.ndim == 2 else value for name, value in BATCH.items()})
    with hallu_models.attach(model, "vhr"), pytest.raises(ValueError, match="vhr has not seen them; give the whole"):
        model.generate(**BATCH, **{NAME: cache}, max_new_tokens=3)


@pytest.mark.parametrize("method", ["vhr", "cicd"])
def test_an_empty_cache_is_a_beginning(method):
    model = tiny_llava(4)
    with torch.no_grad(), session(model, method, BATCH, {}).attached():
        cache = DynamicCache(config=model.get_decoder().config)
        given = model.generate(**BATCH, **{NAME: cache}, max_new_tokens=3, do_sample=False)
        assert torch.equal(given, model.generate(**BATCH, max_new_tokens=3, do_sample=False))


# A name that both generate() and a method have


def t_vhd(host, *arguments, **options):
    """T-VHD of two tokens, which counts ``top_k`` heads a layer."""
    (answer,) = host.generate([question()], *arguments, max_new_tokens=2, **options)
    return answer.observations["tvhd"].values


def test_a_name_that_sampling_and_the_method_have_is_refused_where_only_the_method_could_mean_it(host):
    said = r"top_k=1: generate\(\) has top_k, of sampling, and so has vhr; for the method write "
    with pytest.raises(ValueError, match=said + r'\*\*\{"vhr.top_k": 1\}, for sampling give do_sample=True'):
        host.generate([question()], "vhr", top_k=1)
    with pytest.raises(ValueError, match=said + r"VHR\(top_k=1\), for sampling"):
        host.generate([question()], VHR(top_k=3), top_k=1)
    # Benchmarks write it for greedy decoding; here nobody else has it.
    (answer,) = host.generate([question()], "eah", top_k=1, temperature=0.0, max_new_tokens=1)
    assert answer.tokens == 1


def test_each_of_the_two_can_be_named(host):
    usual, one = t_vhd(host, "vhr"), t_vhd(host, "vhr", **{"vhr.top_k": 1})
    assert (usual != one).all()
    # Sampling among one token is greedy; the method's parameter stays at its default.
    assert (t_vhd(host, "vhr", do_sample=True, top_k=1) == usual).all()
    assert (t_vhd(host, "vhr", do_sample=True, top_k=1, **{"vhr.top_k": 1}) == one).all()
    with hallu_models.attach(host, "vhr", top_k=1) as attached:
        assert attached.interventions[0].top_k == 1, "attach has no option of this name"


def test_no_other_name_is_had_twice():
    reserved = {*generation.OPTIONS, *inspect.signature(hallu_models.attach).parameters}
    shared = {(name, own) for name in built_in.names() for own in params.argument_names(name) if own in reserved}
    assert shared == {("vhr", "top_k")}

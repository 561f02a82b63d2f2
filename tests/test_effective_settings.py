"""What a session needs is read from the effective settings: of the call, the configuration given, the checkpoint's."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from PIL import Image
from transformers import GenerationConfig, LlavaForConditionalGeneration

import hallu_models
from hallu_models import models
from hallu_models.hosts import forward
from hallu_models.hosts.checkpoints import DEMO

BATCH = prompts(MIXED)
SETTINGS = {"use_cache": False, "prefill_chunk_size": 4, "guidance_scale": 1.5, "prompt_lookup_num_tokens": 3}
"""Settings under which no method can act."""
OFF = {"use_cache": True, "prefill_chunk_size": None, "guidance_scale": None, "prompt_lookup_num_tokens": None}
STEPS = 4
NAME = forward.cache_parameter(LlavaForConditionalGeneration.forward)


def asked(model, *args, method="vhr", **options):
    with hallu_models.attach(model, method):
        return model.generate(*args, **BATCH, max_new_tokens=STEPS, do_sample=False, **options)[:, -STEPS:].tolist()


@pytest.fixture(scope="module")
def expected():
    return asked(tiny_llava(4))


@pytest.fixture
def model():
    return tiny_llava(4)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_call_is_refused(model, name):
    with pytest.raises(ValueError, match=rf"^{name}={SETTINGS[name]}: .*set {name}={OFF[name]}$"):
        asked(model, **{name: SETTINGS[name]})


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_configuration_given_is_refused(model, name):
    given = GenerationConfig(**{name: SETTINGS[name]})
    with pytest.raises(ValueError, match=rf"^{name}=.* in the generation_config given: .*set {name}={OFF[name]} there"):
        asked(model, generation_config=given)


def test_a_configuration_given_by_position_is_seen(model):
    rest = {name: value for name, value in BATCH.items() if name != "input_ids"}
    with hallu_models.attach(model, "vhr"), pytest.raises(ValueError, match="use_cache=False in the generation_config"):
        model.generate(BATCH["input_ids"], GenerationConfig(use_cache=False), **rest, max_new_tokens=2)


@pytest.mark.parametrize("given", [None, GenerationConfig()], ids=["alone", "beside a configuration given"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_checkpoint_is_refused_and_the_call_overrules_it(model, expected, name, given):
    setattr(model.generation_config, name, SETTINGS[name])
    options = {} if given is None else {"generation_config": given}
    with pytest.raises(
        ValueError, match=rf"{name}=.* configuration of the model: .*generate\(\) with {name}={OFF[name]}"
    ):
        asked(model, **options)
    assert asked(model, **{name: OFF[name]}) == expected, "as the error says"


def test_no_cache_is_refused_however_it_is_written(model):
    for value in (0, None):
        with pytest.raises(ValueError, match=f"use_cache={value}: .*set use_cache=True"):
            asked(model, use_cache=value)


def changed(folder, file, change):
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))


@pytest.mark.parametrize("where", ["config.json", "text_config", "generation_config.json"])
def test_a_saved_checkpoint_without_a_cache(tmp_path, expected, where):
    tiny_llava(4).save_pretrained(tmp_path)
    if where == "generation_config.json":
        changed(tmp_path, where, lambda content: content.update(use_cache=False))
    else:
        (tmp_path / "generation_config.json").unlink()
        found = lambda content: content if where == "config.json" else content["text_config"]  # noqa: E731
        changed(tmp_path, "config.json", lambda content: found(content).update(use_cache=False))
    model = LlavaForConditionalGeneration.from_pretrained(tmp_path).eval()
    model.generation_config.eos_token_id = None
    with pytest.raises(ValueError, match="use_cache=False in the generation configuration of the model"):
        asked(model)
    assert asked(model, use_cache=True) == expected


def steps(model, *, cached=True, mask=True, **options):
    """Greedy tokens (B, T) by plain forwards, which begin with the prompt and go on."""
    inputs, past, found = dict(BATCH), None, []
    with torch.no_grad(), hallu_models.attach(model, "vhr"):
        for _ in range(STEPS):
            output = model(**inputs, **{NAME: past}, **options)
            token = output.logits[:, -1].argmax(-1, keepdim=True)
            found.append(token)
            past = next(filter(forward.is_cache, output.values()), None)
            if not cached:
                # A further image token would have no image.
                inputs["input_ids"] = torch.cat([inputs["input_ids"], token.clamp(min=4)], dim=1)
            real = torch.cat([inputs.get("attention_mask", BATCH["attention_mask"]), torch.ones_like(token)], dim=1)
            inputs = {**inputs, "attention_mask": real} if not cached else {"input_ids": token, "attention_mask": real}
            if not mask:
                del inputs["attention_mask"]
    return torch.cat(found, dim=1).tolist()


def test_plain_forwards_with_a_cache_are_a_generation(model, expected):
    assert steps(model) == expected
    model.generation_config.use_cache = False
    assert steps(model) == expected, "which is for generate() alone"


@pytest.mark.parametrize("loop", [{}, {"cached": False}, {"mask": False}], ids=["tokens", "prompts", "tokens alone"])
@pytest.mark.parametrize("where", ["call", "configuration"])
def test_plain_forwards_without_a_cache_are_refused_where_they_go_on(model, where, loop, expected):
    model.config.text_config.use_cache = where == "call"
    options = {"use_cache": False} if where == "call" else {}
    with pytest.raises(ValueError, match=r"no key-value cache.*use_cache=True.*configuration has use_cache=False"):
        steps(model, **loop, **options)
    model.config.text_config.use_cache = False
    assert steps(model, use_cache=True) == expected, "as the error says"


def test_single_forwards_without_a_cache_are_prompts_of_their_own(model):
    others = prompts(MIXED, seed=7)
    with torch.no_grad(), hallu_models.attach(model, "vhr"):
        first, other, again = (model(**batch, use_cache=False).logits for batch in (BATCH, others, BATCH))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.fixture
def checkpoint(tmp_path):
    """The demo model in a folder, with these settings in its generation_config.json."""

    def saved(**settings):
        folder = tmp_path / "checkpoint"
        shutil.copytree(DEMO, folder)
        changed(folder, "generation_config.json", lambda content: content.update(settings))
        return str(folder)

    return saved


QUESTION = [hallu_models.conversation(Image.new("RGB", (64, 64), "red"), "Describe this image.")]


@pytest.mark.parametrize("method", [None, "vhr", "eah"])
@pytest.mark.parametrize("settings", [{"use_cache": False}, {"prefill_chunk_size": 4}], ids=str)
def test_host_generate_overrules_what_changes_no_answer(checkpoint, settings, method):
    found = [
        hallu_models.load(which, device="cpu").generate(QUESTION, method, max_new_tokens=6)[0].text
        for which in ("demo", checkpoint(**settings))
    ]
    assert found[0] == found[1]


def test_host_generate_refuses_what_changes_answers(checkpoint):
    host = hallu_models.load(checkpoint(guidance_scale=1.5), device="cpu")
    with pytest.raises(ValueError, match=r"guidance_scale=1.5 in the generation .*generation_config\.json"):
        host.generate(QUESTION, "vhr", max_new_tokens=2)


def test_the_adapter_loads_a_checkpoint_without_a_cache(checkpoint):
    model = models.llava_vhr(pretrained=checkpoint(use_cache=False, prefill_chunk_size=4), device="cpu")
    assert model.proof is not None


def test_the_adapter_refuses_a_setting_of_the_checkpoint_when_it_is_loaded(checkpoint):
    folder = checkpoint(guidance_scale=1.5)
    with pytest.raises(ValueError, match=r"guidance_scale=1.5 in the generation .*generation_config\.json"):
        models.llava_vhr(pretrained=folder, device="cpu")
    assert models.llava_base(pretrained=folder, device="cpu").host is not None

"""Conversations of every shape, ways of generating, and prompts that cannot work, on families unlike each other."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec

import pytest
import torch
from test_families import GENERAL, STRONG, answers, rows

import hallu_models
import registry
from hallu_models import generation, methods, processing
from hallu_models.conversations import conversation, with_other_images
from hallu_models.engines.branches import MODES, Negative
from hallu_models.hosts.inputs import read as decoder_inputs
from hallu_models.interventions.base import Intervention
from hallu_models.processing import image_features
from hallu_models.session import prompts
from hallu_models.testing import dense_row, families
from hallu_models.testing.questions import OTHERS, conversations, host, picture
from registry.model_families.family import Cell


def cells(names, method_names):
    """Every method on every family, and on Llama 3.2 Vision, whose images lie beside the columns, the one it takes."""
    chosen = [(family, method) for family in names for method in method_names] + [("mllama", "cicd")]
    return pytest.mark.parametrize(("family", "method"), chosen, ids=["-".join(cell) for cell in chosen])


SHAPES = ["llava", "qwen2_5_vl", "llava_next", "internvl", "idefics3", "mistral3"]
"""One square, a grid, tiles of three kinds, and rows of unequal length."""

FIRST, SECOND = picture(16, 16, 11), picture(40, 16, 12)


def two_images(text="what is in the picture ?"):
    content = [{"type": "image", "image": FIRST}, {"type": "text", "text": "a cat and"}]
    return [{"role": "user", "content": [*content, {"type": "image", "image": SECOND}, {"type": "text", "text": text}]}]


def columns_of(family, images):
    """Number of columns before and after the chosen image's, among the image columns of one conversation."""
    found = host(family)
    inputs = processing.encode(found, [two_images()])
    whole = torch.isin(inputs["input_ids"][0], torch.tensor(sorted(found.image_tokens)))
    chosen = processing.image_columns(found, inputs, [two_images()], images)[0]
    return chosen[whole], int(whole.sum())


@pytest.mark.parametrize("family", [*SHAPES, "mllama"])
def test_each_image_has_its_own_columns(family):
    first, total = columns_of(family, 0)
    last, _ = columns_of(family, -1)
    assert 0 < first.sum() < total
    assert torch.equal(first, ~last)
    assert bool(first[: int(first.sum())].all()), "the first image's columns come first"


@pytest.mark.parametrize("family", SHAPES)
def test_methods_act_on_the_chosen_image(family):
    found = host(family)
    made = {}
    for images in ("all", "last", 1, 2):
        with hallu_models.attach(found, "vhr", images=images, **STRONG["vhr"]) as session:
            generation.generate_in(session, [two_images()], max_new_tokens=2)
            made[images] = session.observations["vhd"].values
    assert (made["last"] == made[2]).all()
    assert not (made["last"] == made[1]).all() and not (made["last"] == made["all"]).all()


@cells(SHAPES, ["cicd", "iava", "sevi", "eah", "dleaf"])
def test_every_method_runs_on_one_of_two_images(family, method):
    parameters = {**STRONG[method], **({"instruction": GENERAL} if method == "iava" else {})}
    without = [] if registry.families()[family].images == "all or none" else [2]
    batch = [two_images(), *conversations([*without, 0])]
    others = [OTHERS[0], OTHERS[3], OTHERS[1]]
    made = [
        [
            one.token_ids
            for one in host(family).generate(
                part, method, max_new_tokens=3, images="last", other_images=images, **parameters
            )
        ]
        for part, images in ((batch, others), (batch[:1], others[:2]))
    ]
    assert made[0][0] == made[1][0]


def test_a_prompt_without_an_image_to_choose_is_the_plain_models():
    found = host("llava")
    plain = found.generate(conversations([2]), max_new_tokens=3)[0].token_ids
    chosen = found.generate([*conversations([2]), two_images()], "vhr", max_new_tokens=3, images=2, **STRONG["vhr"])
    assert chosen[0].token_ids == plain
    with pytest.raises(ValueError, match=r"images=2: conversations\[0\] has 1 image"):
        found.generate(conversations([0]), "vhr", max_new_tokens=3, images=2)


@pytest.mark.parametrize("images", ["first", 0, -1, "0", ""])
def test_a_wrong_choice_of_images_is_named(images):
    with pytest.raises(ValueError, match=r"images=.*allowed are all, last, and the number"):
        host("llava").generate(conversations([0]), "vhr", images=images)


def test_choosing_an_image_needs_conversations():
    found = host("llava")
    inputs = processing.encode(found, [two_images()])
    with (
        hallu_models.attach(found, "vhr", images="last"),
        pytest.raises(ValueError, match=r"images=last.*Host.generate\(\)"),
    ):
        found.model.generate(**inputs, max_new_tokens=2)


@cells(["llava", "qwen2_5_vl", "gemma3", "internvl"], ["vhr", "cicd", "iava"])
def test_several_turns_and_a_system_prompt(family, method):
    turns = [
        {"role": "system", "content": "you are a helpful assistant"},
        *conversation(FIRST, "what is in the picture ?"),
        {"role": "assistant", "content": [{"type": "text", "text": "a cat ."}]},
        {"role": "user", "content": "is there a dog ?"},
    ]
    parameters = {**STRONG[method], **({"instruction": GENERAL} if method == "iava" else {})}
    found = host(family)
    together, alone = (
        found.generate(part, method, max_new_tokens=3, other_images=[OTHERS[0]] * len(part), **parameters)
        for part in ([turns, *conversations([1])], [turns])
    )
    assert together[0].token_ids == alone[0].token_ids


GENERATING = {
    "greedy": {},
    "sampling": {"do_sample": True, "temperature": 0.8, "top_k": 0},
    "beams": {"num_beams": 2},
    "sequences": {"do_sample": True, "num_return_sequences": 2},
    "beam sequences": {"num_beams": 3, "num_return_sequences": 2},
    "at least": {"min_new_tokens": 5, "eos_token_id": 30},
    "repetition": {"repetition_penalty": 1.5},
    "no repetition": {"no_repeat_ngram_size": 2},
}


@pytest.mark.parametrize("options", GENERATING.values(), ids=GENERATING)
@cells(["llava", "qwen2_5_vl", "qwen3_vl"], ["vhr", "eah", "dleaf", "sevi", "cicd"])
def test_ways_of_generating(family, method, options):
    """At identity settings each is the plain model's; with the method on, the caller's batch size stays."""
    from registry.cards import built_in

    found = host(family)
    numbers = [number for number in rows(family) if number != 1]
    inputs = processing.encode(found, conversations(numbers))
    other = processing.encode(found, with_other_images(conversations(numbers), [OTHERS[0], OTHERS[3]]))

    def run(name, parameters):
        torch.manual_seed(7)
        with torch.no_grad(), hallu_models.attach(found, name, other_images=other, **parameters):
            return found.model.generate(**inputs, max_new_tokens=6, **options)

    plain = run(None, {})
    assert torch.equal(run(method, dict(built_in.load(method).identity)), plain)
    assert run(method, STRONG[method]).shape[0] == plain.shape[0]


@cells(["llava"], ["cicd", "sevi"])
def test_a_negative_branch_beside_a_static_cache(family, method):
    found = host(family)
    inputs = processing.encode(found, conversations([0]))
    others = processing.encode(found, with_other_images(conversations([0]), [OTHERS[0]]))
    static = {"cache_implementation": "static", "max_new_tokens": 3}
    with hallu_models.attach(found, method, other_images=others, **STRONG[method]):
        expected = found.model.generate(**inputs, max_new_tokens=3)
        with pytest.raises(ValueError, match=r"static cache has room .* branch=\"sequential\""):
            found.model.generate(**inputs, **static)
    with hallu_models.attach(found, method, other_images=others, branch="sequential", **STRONG[method]):
        assert torch.equal(found.model.generate(**inputs, **static), expected)


@dataclasses.dataclass(frozen=True)
class NegativeAlone(Intervention):
    """Answers as the negative rows do."""

    layers: str = ""

    def contrast(self, logits, negative, at):
        return negative


@dataclasses.dataclass(frozen=True)
class OtherWording(NegativeAlone):
    name = "other_wording"
    text: str = "?"

    def rewrite(self, messages):
        image, _ = messages[0]["content"]
        return [{**messages[0], "content": [image, {"type": "text", "text": self.text}]}]

    def negative(self, prompt):
        return Negative(prompt.run.rewritten(self.name)[0], prompt.layout.has_image)


@pytest.mark.parametrize("text", ["?", "is there a red bus and a blue car near the tree on the street ? yes no"])
@pytest.mark.parametrize("branch", MODES)
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "qwen3_vl", "mllama"])
def test_a_negative_prompt_of_another_length_is_read_as_it_is_alone(family, branch, text):
    method, found = OtherWording(text=text), host(family)
    expected = found.generate([method.rewrite(messages) for messages in conversations([0, 3])], max_new_tokens=4)
    made = found.generate(conversations([0, 3]), method, branch=branch, max_new_tokens=4)
    assert [one.token_ids for one in made] == [one.token_ids for one in expected]


@dataclasses.dataclass(frozen=True)
class NoImage(NegativeAlone):
    name = "no_image"

    def negative(self, prompt):
        return Negative(prompt.run.prompt.without_image(prompt.layout), prompt.layout.has_image)


@pytest.mark.parametrize("branch", MODES)
@pytest.mark.parametrize("family", ["llava", "mllama"])
def test_a_negative_prompt_without_an_image_is_read_as_it_is_alone(family, branch):
    """Also where images are read beside the columns."""
    found, text = host(family), conversation(None, conversations([0])[0][0]["content"][-1]["text"])
    expected = found.generate([text], max_new_tokens=4)
    made = found.generate(conversations([0]), NoImage(), branch=branch, max_new_tokens=4)
    assert made[0].token_ids == expected[0].token_ids


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "qwen3_vl", "mllama"])
def test_an_answer_behind_its_prompt_is_read_as_the_model_reads_it(family):
    found, (messages, answer) = host(family), (conversations([1]), [40, 41, 42])
    inputs = processing.encode(found, messages)
    prompt = decoder_inputs(found, inputs).extended(found.embed(torch.tensor([answer])))
    with torch.no_grad():
        hidden = found.decoder(**prompt.arguments(found.model), use_cache=False).last_hidden_state
        whole = found.model(**dense_row.extended(dict(inputs), answer), use_cache=False).logits
    torch.testing.assert_close(found.causal.get_output_embeddings()(hidden), whole, atol=1e-4, rtol=1e-4)


def test_a_batch_of_prompts_with_and_without_an_image_is_refused_where_the_model_mixes_them_up():
    with pytest.raises(ValueError, match=r"mllama takes no batch .* 1 of 2 have none; ask these apart.*batch_size=1"):
        host("mllama").generate(conversations([0, 2]), max_new_tokens=1)
    assert host("mllama").generate(conversations([2]), "cicd", other_images=[], max_new_tokens=1)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "mllama"])
def test_features_are_the_images_own(family):
    """What tells images apart where the least similar one is looked for."""
    first, second = (image_features(host(family), [image]) for image in (FIRST, SECOND))
    torch.testing.assert_close(image_features(host(family), [FIRST, SECOND]), torch.cat([first, second]))
    assert not torch.allclose(first.mean(dim=0), second.mean(dim=0), atol=1e-2)


@pytest.mark.parametrize(
    "options",
    [{"assistant_model": object()}, {"prompt_lookup_num_tokens": 3}, {"prefill_chunk_size": 8}],
    ids=lambda options: next(iter(options)),
)
def test_assisted_decoding_is_refused(options):
    found = host("llava")
    inputs = processing.encode(found, conversations([0]))
    with (
        hallu_models.attach(found, "vhr"),
        pytest.raises(ValueError, match=r"methods (act where one follows another|look at a prompt as a whole)"),
    ):
        found.model.generate(**inputs, **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_half_precision_runs(family, dtype):
    model, processor = families.new(family)
    found = hallu_models.loading.inspect(model.to(dtype), processor)
    for method in ("vhr", "eah", "dleaf", "sevi", "cicd", "iava"):
        made = found.generate(conversations([0]), method, max_new_tokens=2, other_images=[OTHERS[0]], **STRONG[method])
        assert len(made[0].token_ids) == 2, method


def test_a_processor_without_a_chat_template(monkeypatch):
    found = host("qwen2_5_vl")
    monkeypatch.setattr(found.processor, "chat_template", None)
    with pytest.raises(ValueError, match=r"no chat template; set host.processor.chat_template"):
        found.generate(conversations([0]))


def test_a_template_that_leaves_the_image_out(monkeypatch):
    found = host("qwen2_5_vl")
    monkeypatch.setattr(found.processor, "chat_template", "describe the image .")
    with pytest.raises(ValueError, match="image"):
        found.generate(conversations([0]))


def test_an_image_token_that_never_occurs():
    found = host("llava")
    inputs = processing.encode(found, conversations([0]))
    other = dataclasses.replace(found, image_tokens=frozenset({99}))
    with (
        hallu_models.attach(other, "vhr"),
        pytest.raises(ValueError, match=r"image token \(99\) is nowhere in its"),
    ):
        found.model.generate(**inputs, max_new_tokens=2)


def test_a_prompt_longer_than_the_context(monkeypatch):
    found = host("llava")
    monkeypatch.setattr(found.decoder.config, "max_position_embeddings", 20)
    with pytest.raises(ValueError, match=r"prompt of \d+ tokens is longer than the model's context of 20"):
        found.generate(conversations([0]))


def test_inputs_on_another_device():
    found = host("llava")
    inputs = processing.encode(found, conversations([0]))
    elsewhere = {**inputs, "input_ids": inputs["input_ids"].to("meta")}
    with pytest.raises(ValueError, match="input_ids are on meta, the model's word embeddings on cpu"):
        prompts.read(found, elsewhere, 1)


def test_families_with_exactly_one_image_say_so():
    with pytest.raises(ValueError, match="instructblip takes exactly one image a prompt, and a prompt has 0"):
        answers("instructblip", "vhr", [2])


@pytest.mark.parametrize("number", [2, 3])
def test_as_many_other_images_as_images(number):
    with pytest.raises(ValueError, match=f"other_images has {number} images, and the conversations have 4"):
        host("llava").generate([two_images(), two_images()], "cicd", other_images=[FIRST] * number)


@pytest.mark.parametrize("quantization", ["8bit", "4bit", "2bit"])
def test_quantised_weights_need_bitsandbytes_and_cuda(quantization):
    expected = "allowed are 8bit and 4bit" if quantization == "2bit" else "needs .*(bitsandbytes|CUDA)"
    if quantization != "2bit" and torch.cuda.is_available() and find_spec("bitsandbytes"):
        assert hallu_models.load("demo", quantization=quantization).model.is_quantized
        return
    with pytest.raises(ValueError, match=f"quantization={quantization}.*{expected}"):
        hallu_models.load("demo", quantization=quantization)


def test_device_map_auto_runs():
    found = hallu_models.load("demo", device_map="auto")
    assert found.generate([conversation(FIRST, "what is in the picture ?")], "vhr", max_new_tokens=2)[0].tokens


@pytest.mark.parametrize(
    ("method", "depth", "said"),
    [
        ("vhr", 28, ["vhr: layers=1+last:14/32 is a rule for 32 layers; of this model's 28 they are 1+16-27"]),
        ("vhr", 32, []),
        ("sevi", 40, ["sevi: layers=8/32-31/32 is a rule for 32 layers; of this model's 40 they are 10-38"]),
        ("eah+cicd", 28, []),
        (None, 28, []),
    ],
)
def test_layer_rules_say_that_they_scale(method, depth, said):
    assert methods.scaled_layers(method, None, depth, {}) == said


def test_a_refused_cell_is_refused_where_the_method_is_built(monkeypatch):
    row = dataclasses.replace(registry.families()["gemma3"], uses={"attention": Cell("refused", "for this test")})
    monkeypatch.setattr("registry.model_families.family.load", lambda: {"gemma3": row})
    with pytest.raises(ValueError, match="eah is refused on the family gemma3: for this test"):
        methods.build("eah", "gemma3", 4, {})

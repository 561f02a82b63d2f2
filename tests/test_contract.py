"""What every method must keep beyond hallu_models.testing, which tests/test_families.py runs for all of them."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from conftest import IMAGE, IMAGE_TOKENS, MIXED, prompts, take, tiny_llava
from PIL import Image
from test_session import state_of

import hallu_models
import registry
from hallu_models import loading, methods, processing
from hallu_models.hosts.generate import scored
from hallu_models.self_check.forcing import forced
from hallu_models.session import Session
from registry.plugins import lazy

STEPS = 8
METHODS = sorted(registry.methods())
STRONG = {name: dict(registry.methods()[name].strong) for name in METHODS}

FREE = [name for name in METHODS if not lazy.resolve(name)().overrides("decode")]
"""Those that leave it to generate how tokens are chosen."""

DECODING = {
    "greedy": {"do_sample": False},
    "beams": {"do_sample": False, "num_beams": 2},
    "sampling": {"do_sample": True, "temperature": 0.9, "top_k": 0},
}
decoded = pytest.mark.parametrize(
    ("name", "decoding"), [(name, way) for name in METHODS for way in DECODING if way == "greedy" or name in FREE]
)


@functools.cache
def loaded(kv_heads, attention="sdpa"):
    return tiny_llava(kv_heads, attention=attention)


def general_prompt(batch):
    """What a rewritten conversation's ids look like: the same images, other text behind them, other padding."""
    rows = []
    for row in batch["input_ids"]:
        images = int((row == IMAGE).sum())
        rows.append([1, 7, *[IMAGE] * images, 20, 21, 22])
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


class Words:
    """As much of a tokenizer as methods look at, and of the processor that has it."""

    eos_token_id = 2

    @property
    def tokenizer(self):
        return self

    def get_vocab(self):
        return {f"word{number}": number for number in range(4, 60)} | {"yes": 60, "Yes": 61, "no": 62, "No": 63}

    def decode(self, ids):
        return next(token for token, number in self.get_vocab().items() if [number] == ids)


def session(model, method, batch, parameters, **options):
    """A session with all the inputs that any method may ask for."""
    host = loading.inspect(model, Words()) if not isinstance(model, hallu_models.Host) else model
    built = methods.build(method, host.family, host.depth, parameters)
    pixels = batch.get("pixel_values")
    other = None if pixels is None else -pixels.flip(2)
    rewritten = {item.name: general_prompt(batch) for item in built if item.overrides("rewrite")}
    made = Session(host, built, other_images=other, rewritten=rewritten, observe=True, **options)
    made.asked = batch["input_ids"]
    return made


def generate(model, method, batch, parameters, seed=3, branch="paired", **options):
    torch.manual_seed(seed)
    with torch.no_grad(), session(model, method, batch, parameters, branch=branch).attached():
        return model.generate(**batch, max_new_tokens=STEPS, **options)[:, batch["input_ids"].shape[1] :]


def plain(model, batch, seed=3, **options):
    torch.manual_seed(seed)
    return model.generate(**batch, max_new_tokens=STEPS, **options)[:, batch["input_ids"].shape[1] :]


def identity(name):
    """The card's settings that make the method the plain model."""
    return dict(registry.methods()[name].identity)


@functools.cache
def expected(kv_heads, decoding):
    return plain(loaded(kv_heads), prompts(MIXED, [True, True, False, True]), **DECODING[decoding]).tolist()


@decoded
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_identity_settings_are_the_plain_model(name, kv_heads, decoding):
    batch = prompts(MIXED, [True, True, False, True])
    found = generate(loaded(kv_heads), name, batch, identity(name), **DECODING[decoding])
    assert found.tolist() == expected(kv_heads, decoding)


@functools.cache
def used(attention):
    """A model that has answered: generate leaves things of its own."""
    model = loaded(2, attention)
    plain(model, prompts(MIXED))
    return model


@decoded
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_it_runs_everywhere_and_leaves_nothing_behind(name, attention, size, decoding):
    model = used(attention)
    batch = prompts(MIXED[:size])
    before = state_of(model)
    answers = generate(model, name, batch, STRONG.get(name, {}), **DECODING[decoding])
    assert answers.shape == (size, STEPS)
    assert state_of(model) == before


@pytest.mark.parametrize(
    "options", [{"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}], ids=["beams", "sequences"]
)
@pytest.mark.parametrize("name", FREE)
def test_outputs_have_the_callers_batch_size(name, options):
    batch = prompts(MIXED, [True, False, True, True])
    model = loaded(4)
    with torch.no_grad(), session(model, name, batch, STRONG.get(name, {})).attached():
        output = model.generate(
            **batch,
            max_new_tokens=STEPS,
            output_scores=True,
            output_logits=True,
            return_dict_in_generate=True,
            **options,
        )
    rows = 4 * options.get("num_return_sequences", 1)
    assert output.sequences.shape[0] == rows
    assert output.scores[0].shape[0] == output.logits[0].shape[0] == max(rows, 4 * options.get("num_beams", 1))


CONTRASTING = [name for name in METHODS if methods.build(name, "llava", 6, STRONG.get(name, {}))[0].contrasts()]


@pytest.mark.parametrize(
    "decoding", [{"do_sample": False}, {"num_beams": 3}, {"do_sample": True}], ids=["greedy", "beams", "sampling"]
)
@pytest.mark.parametrize("name", CONTRASTING)
def test_paired_rows_and_the_sequential_branch_agree(name, decoding):
    batch = prompts(MIXED, [True, True, False, True])
    model = loaded(2)
    paired, sequential = (
        generate(model, name, batch, STRONG.get(name, {}), branch=branch, **decoding)
        for branch in ("paired", "sequential")
    )
    assert paired.tolist() == sequential.tolist()


@pytest.mark.parametrize("name", METHODS)
def test_observations_have_named_axes(name):
    batch = prompts(MIXED)
    model = loaded(4)
    with torch.no_grad(), session(model, name, batch, STRONG.get(name, {})).attached() as attached:
        model.generate(**batch, max_new_tokens=3)
    found = attached.observations
    assert found
    for key, seen in found.items():
        assert seen.values.ndim == len(seen.axes), key
        assert seen.axes[0] == "row" and seen.values.shape[0] == 4


def test_a_prompt_is_counted_in_image_tokens():
    assert int((prompts(MIXED)["input_ids"] == IMAGE).sum()) == 4 * IMAGE_TOKENS


def test_a_method_that_would_undo_another_is_refused():
    said = r"eah\+sevi: eah edits the maps of layer 1 and would undo what sevi does to the last row there"
    with pytest.raises(ValueError, match=said):
        session(loaded(4), "eah+sevi", prompts(MIXED), {"eah.layers": "1", "sevi.layers": "1-5", "sevi.cicd": False})


def test_two_negative_branches_are_refused():
    with pytest.raises(ValueError, match=r"iava\+cicd: both run a negative branch"):
        session(loaded(4), "iava+cicd", prompts(MIXED), {})


@pytest.mark.parametrize("method", ["vhr+cicd", "eah+vhr", "vhr+iava", "eah+cicd", "sevi+dleaf"])
def test_compositions_keep_rows_apart(method):
    batch = prompts(MIXED)
    model = loaded(2)
    parameters = {f"{name}.{key}": value for name in method.split("+") for key, value in STRONG.get(name, {}).items()}
    together = generate(model, method, batch, parameters, do_sample=False)
    alone = generate(model, method, take(batch, 2), parameters, do_sample=False)
    assert together[2].tolist() == alone[0].tolist()
    for name in method.split("+"):
        single = generate(model, name, batch, STRONG.get(name, {}), do_sample=False)
        assert together.tolist() != single.tolist()


PRECISION = {torch.float32: 1e-5, torch.float16: 0.01, torch.bfloat16: 0.05}
"""Of the range of a row's logits: what rounding may move them by between two backends."""
CHOSEN_ALIKE = {torch.float32: 4, torch.float16: 3, torch.bfloat16: 2}
"""Rows, of four, in which both backends have to make a method choose the same at every token; CPUs round otherwise."""
WITHOUT_LIMIT = {name: {"beta": 1e-30} for name in METHODS if registry.methods()[name].parameter("beta")}
"""Settings under which no token is too implausible to have a logit."""
FORCED = torch.randint(4, 64, (4, 4), generator=torch.Generator().manual_seed(9))


@functools.cache
def demo(attention, dtype):
    """The demo model, and a left-padded batch about pictures of noise with what any method may ask for."""
    host = hallu_models.load("demo", device="cpu", attn_implementation=attention, dtype=dtype)
    noise = np.random.default_rng(5)
    pictures = [Image.fromarray(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(8)]
    questions = ["Describe this image.", "Is there a cup in the image?", "What can you see in the image?", "Describe."]
    asked = [
        [hallu_models.conversation(*pair) for pair in zip(part, questions)] for part in (pictures[:4], pictures[4:])
    ]
    return host, *(processing.encode(host, conversations) for conversations in asked), asked[0]


def precisely(name, where, attention, dtype):
    """Logits (T, B, V) of forced tokens, and what the method chose on the way, by row."""
    parameters = {**STRONG.get(name, {}), **WITHOUT_LIMIT.get(name, {})}
    if where == "tiny":
        model = copy.deepcopy(loaded(2, attention)).to(dtype)
        batch = {key: value.to(dtype) if key == "pixel_values" else value for key, value in prompts(MIXED).items()}
        made = session(model, name, batch, parameters)
    else:
        host, batch, others, conversations = demo(attention, str(dtype).removeprefix("torch."))
        model, built = host.model, methods.build(name, host.family, host.depth, parameters)
        rewritten = {
            item.name: processing.encode(host, [item.rewrite(messages) for messages in conversations])
            for item in built
            if item.overrides("rewrite")
        }
        made = Session(host, built, other_images=dict(others), rewritten=rewritten, observe=True)
        made.asked = batch["input_ids"]
    assert not bool(batch["attention_mask"].all()), "rows of unequal length"
    with torch.no_grad(), made.attached():
        _, logits = scored(model, batch, FORCED.shape[1], force=forced(FORCED))
    seen = [seen.values for seen in made.observations.values() if seen.values.dtype.kind in "bi"]
    return logits.float(), [tuple(values[row].tobytes() for values in seen) for row in range(len(FORCED))]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", PRECISION, ids=str)
@pytest.mark.parametrize("where", ["tiny", "demo"])
@pytest.mark.parametrize("name", FREE)
def test_backends_agree_in_every_precision(name, where, dtype):
    """Raw logits at the prefill and three later tokens, where rounding has not made a method choose otherwise."""
    (logits, chosen), (others, chosen_there) = (precisely(name, where, which, dtype) for which in ("sdpa", "eager"))
    alike = [row for row in range(len(FORCED)) if chosen[row] == chosen_there[row]]
    assert len(alike) >= CHOSEN_ALIKE[dtype], alike
    logits, others = logits[:, alike], others[:, alike]
    assert not bool(logits.isnan().any() or others.isnan().any())
    # What is possible next to a method's limit may be impossible after rounding.
    possible = logits.isfinite() & others.isfinite()
    assert bool(possible.any(-1).all())
    assert float((logits.isfinite() != others.isfinite()).float().mean()) <= PRECISION[dtype]
    # A range that has zero in it, for few tokens may be possible.
    kept = logits.masked_fill(~possible, 0.0)
    found = (logits - others).abs().masked_fill(~possible, 0.0).amax(-1) / (kept.amax(-1) - kept.amin(-1)).clamp(min=1)
    assert float(found.amax()) <= PRECISION[dtype], found

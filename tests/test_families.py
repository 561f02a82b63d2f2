"""Every method on every model family, on tiny models of the real classes with their real processors."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from families import others, reference, tiny
from PIL import Image
from test_session import state_of

import hallu_models
import registry
from hallu_models import generation, loading, processing
from hallu_models.conversations import conversation
from hallu_models.engines import points
from registry.cards import built_in
from registry.model_families import matrix
from registry.plugins import lazy

STEPS = 4
LAYERS = (1, 2, 3)
STRONG = {
    "vhr": {"layers": "1-3", "alpha": 2.0},
    "ad_hh": {"heads": "L1H0+L2H1+L3H3", "threshold": 0.2},
    "eah": {"layers": "1-3", "beta": 0.02},
    "dleaf": {"layers": "1-3", "gamma": 0.9, "k": 0.0},
    "sevi": {"layers": "1-3", "omega": 2.0},
    "cicd": {"beta": 0.1},
    "iava": {"layers": "1-3", "i": 0.6, "lam": -1.0},
}
"""Settings under which a method acts visibly on four layers and a handful of image tokens."""

METHODS = built_in.names()
MATRIX = matrix.table(map(built_in.load, METHODS))
CELLS = [(family, method) for family in registry.families() for method in METHODS]
ACTING = [(family, method) for family, method in CELLS if MATRIX[family][method].status != "refused"]
CONTRASTING = [cell for cell in ACTING if cell[1] in ("cicd", "iava", "sevi")]


def cells(chosen):
    return pytest.mark.parametrize(("family", "method"), chosen, ids=["-".join(cell) for cell in chosen])


acting = cells(ACTING)
families = pytest.mark.parametrize("family", registry.families())
ATTENTIVE = [name for name in registry.families() if (name, "vhr") in ACTING]
with_attention = pytest.mark.parametrize("family", ATTENTIVE)


def picture(width, height, seed):
    """Noise has no symmetry that could hide a mistake."""
    return Image.fromarray(np.random.RandomState(seed).randint(0, 255, (height, width, 3), dtype=np.uint8))


ROWS = [
    (picture(16, 16, 1), "what is in the picture ?"),
    (picture(40, 16, 2), "describe the image ."),
    (None, "is there a red bus and a blue car near the tree ?"),
    (picture(16, 32, 3), "is there a dog on the street ? yes no"),
]
"""Prompts of different lengths, pictures of different sizes and tile counts, and a prompt without a picture."""
OTHERS = [picture(24, 24, 4), picture(16, 16, 5), None, picture(40, 16, 6)]
GENERAL = "describe the content of the image ."


@functools.cache
def host(family):
    built = others.UNLISTED["aya_vision"]() if family == "auto" else tiny.built(family)
    return loading.inspect(*built)


def rows(family):
    """Numbers of the rows that a family can take."""
    takes_text = registry.families()[family].images not in ("one", "all or none")
    return [number for number, (image, _) in enumerate(ROWS) if image is not None or takes_text]


def conversations(numbers):
    return [conversation(*ROWS[number]) for number in numbers]


def answers(family, method, numbers, parameters=None, **options):
    """Token ids of the rows with these numbers in one batch."""
    return [answer for answer, _ in answered(family, method, numbers, parameters, **options)]


def answered(family, method, numbers, parameters=None, **options):
    """Token ids and the logits (steps, V) they were chosen from, for each row of one batch."""
    parameters = STRONG.get(method, {}) if parameters is None else parameters
    if method == "iava":
        parameters = {"instruction": GENERAL, **parameters}
    images = [OTHERS[number] for number in numbers if OTHERS[number] is not None]
    model, kept = host(family).model, []
    generate = model.generate

    def generate_with_logits(**given):
        output = generate(**given, return_dict_in_generate=True, output_logits=True)
        kept.extend(torch.stack(output.logits, dim=1))
        return output.sequences

    with (
        hallu_models.attach(
            host(family), method, other_images=images, observe=False, **parameters, **options
        ) as session,
        pytest.MonkeyPatch.context() as patch,
    ):
        generate = model.generate
        patch.setattr(model, "generate", generate_with_logits)
        made = generation.generate_in(session, conversations(numbers), max_new_tokens=STEPS)
    return [(list(one.token_ids), logits) for one, logits in zip(made, kept)]


def agree(found, expected):
    """The same tokens from the same logits, up to rounding."""
    for (ids, logits), (expected_ids, expected_logits) in zip(found, expected, strict=True):
        assert ids == expected_ids
        torch.testing.assert_close(logits, expected_logits, atol=1e-4, rtol=1e-4)


def differ(found, other):
    return any(not torch.allclose(a, b, atol=1e-3) for (_, a), (_, b) in zip(found, other, strict=True))


@acting
def test_identity_settings_are_the_plain_model(family, method):
    numbers = rows(family)
    agree(answered(family, method, numbers, dict(built_in.load(method).identity)), answered(family, None, numbers))


@acting
def test_it_agrees_with_its_equations_at_prefill_and_every_step(family, method):
    numbers = [number for number in rows(family) if ROWS[number][0] is not None]
    acted = False
    for number, (answer, made) in zip(numbers, answered(family, method, numbers)):
        inputs = processing.encode(host(family), conversations([number]))
        prompt = reference.Prompt(host(family), inputs, answer)
        plain = reference.forward(host(family), prompt.extended)[prompt.prompt - 1 : -1]
        expected = expectation(family, method, prompt, number)
        possible = expected.isfinite()
        assert (made.isfinite() == possible).all()
        torch.testing.assert_close(made[possible], expected[possible], atol=1e-4, rtol=1e-4)
        acted |= bool((expected - plain)[possible].abs().max() > 1e-3) or not bool(possible.all())
    assert acted, "the method does something, or this shows nothing"


def expectation(family, method, prompt, number):
    """Logits (T, V) of the answer's tokens, from the method's equations on this row alone."""
    answer = slice(prompt.prompt - 1, -1)
    if method == "vhr":
        return reference.vhr(prompt, LAYERS, 2.0)[answer]
    if method == "eah":
        return reference.eah(prompt, LAYERS, 0.02)[answer]
    if method == "ad_hh":
        return reference.ad_hh(prompt, [(1, 0), (2, 1), (3, 3)], 0.2)[answer]
    if method == "dleaf":
        return reference.dleaf(prompt, LAYERS, 0.9, 0.0)[answer]
    if method == "iava":
        general = processing.encode(host(family), [conversation(ROWS[number][0], GENERAL)])
        main = reference.forward(host(family), prompt.extended)[answer]
        other = reference.iava(prompt, dict(general), LAYERS, 0.6, -1.0)
        if other is None:
            return main
        combined = 2 * main - other[answer]
        return torch.where(main.softmax(-1) < 0.1 * main.softmax(-1).amax(-1, True), -torch.inf, combined)
    if method == "cicd":
        main = reference.forward(host(family), prompt.extended)
    else:
        main = reference.sevi(prompt, LAYERS, 2.0, built_in.load("sevi").settings(family)["others"])
    with_other = processing.encode(host(family), [conversation(OTHERS[number], ROWS[number][1])])
    other = reference.forward(host(family), reference.extended(dict(with_other), prompt.answer))
    return reference.contrasted(main, other, prompt, with_other["input_ids"].shape[1], 0.1)


@acting
def test_rows_do_not_depend_on_their_batch(family, method):
    numbers = rows(family)
    for number, answer in zip(numbers, answered(family, method, numbers)):
        alone = method if ROWS[number][0] is not None else None
        agree(answered(family, alone, [number]), [answer])


@acting
def test_it_leaves_nothing_behind(family, method):
    model, numbers = host(family).model, rows(family)
    plain = answers(family, None, numbers)
    before = state_of(model)
    answers(family, method, numbers)
    assert state_of(model) == before

    def fail(ids, scores):
        raise ZeroDivisionError

    generate = model.generate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "generate", lambda **options: generate(**{**options, "logits_processor": [fail]}))
        with pytest.raises(ZeroDivisionError):
            answers(family, method, numbers)
    assert state_of(model) == before
    assert answers(family, None, numbers) == plain


@cells(CONTRASTING)
def test_paired_rows_and_the_sequential_branch_agree(family, method):
    numbers = rows(family)
    agree(answered(family, method, numbers, branch="sequential"), answered(family, method, numbers))


@cells([cell for cell in CELLS if cell not in ACTING])
def test_a_refused_method_is_named_with_the_reason_and_what_works(family, method):
    with pytest.raises(ValueError, match=f"^{method} is refused on the family {family}") as caught:
        answers(family, method, rows(family))
    assert MATRIX[family][method].reason in str(caught.value)
    assert "allowed there: cicd" in str(caught.value)


@pytest.mark.parametrize("family", ["qwen3_5", "lfm2_vl", "mllama"])
def test_an_unlisted_model_without_attention_can_be_contrasted_all_the_same(family):
    unlisted = dataclasses.replace(host(family), family=None)
    reason = MATRIX[family]["vhr"].reason
    for method in ("vhr", "eah", "dleaf", "sevi", "iava", "vhr+cicd"):
        with (
            pytest.raises(hallu_models.UnsupportedModel, match=f"acts on attention heads, but .* {reason}; .* cicd"),
            hallu_models.attach(unlisted, method),
        ):
            pass
    with hallu_models.attach(unlisted, "cicd"):
        pass


@pytest.mark.parametrize("method", ["vhr+cicd", "eah+vhr", "vhr+iava"])
@with_attention
def test_compositions_keep_rows_apart(family, method):
    numbers = rows(family)
    parameters = {f"{name}.{key}": value for name in method.split("+") for key, value in STRONG[name].items()}
    if "iava" in method:
        parameters["iava.instruction"] = GENERAL
    together = answered(family, method, numbers, parameters)
    agree(answered(family, method, numbers[-1:], parameters), together[-1:])
    for name in method.split("+"):
        assert differ(together, answered(family, name, numbers)), "both act"


@with_attention
def test_pixels_are_masked_where_tokens_are_patches_and_refused_elsewhere(family):
    numbers = [number for number in rows(family) if ROWS[number][0] is not None]
    parameters = {**STRONG["iava"], "mask": "pixels"}
    if "mask=pixels" in MATRIX[family]["iava"].reason:
        with pytest.raises(ValueError, match=r"mask=pixels needs .*[Uu]se mask=embeddings"):
            answers(family, "iava", numbers, parameters)
    else:
        assert differ(answered(family, "iava", numbers, parameters), answered(family, None, numbers))


@families
def test_other_images_of_another_size_under_a_plain_generate(family):
    """Where a size decides the number of tokens, they are refused as pictures and taken as the processor's output."""
    found, model = host(family), host(family).model
    inputs = processing.encode(found, conversations([3]))
    small = picture(16, 16, 9)
    other = processing.encode(found, [conversation(small, ROWS[3][1])])
    as_many = other["input_ids"].shape == inputs["input_ids"].shape
    reason = MATRIX[family]["cicd"].reason
    refused = "how many tiles" in reason or ("take as many" in reason and not as_many)
    with torch.no_grad():
        with hallu_models.attach(found, "cicd", other_images=other):
            taken = model.generate(**inputs, max_new_tokens=STEPS)
        with hallu_models.attach(found, "cicd", other_images=[small]):
            if refused:
                with pytest.raises(ValueError, match=r"cicd: the other images do not fit .*other_images=processor"):
                    model.generate(**inputs, max_new_tokens=STEPS)
            else:
                assert torch.equal(model.generate(**inputs, max_new_tokens=STEPS), taken)


@pytest.mark.parametrize("family", [name for name in ATTENTIVE if name != "paligemma"])
def test_a_static_cache(family):
    """PaliGemma's own forward takes none of the masks that generate makes for a static cache."""
    found, numbers = host(family), rows(family)[:2]
    inputs = processing.encode(found, conversations(numbers))
    static = {"cache_implementation": "static", "max_new_tokens": STEPS}
    with torch.no_grad():
        for method in ("vhr", "eah", "dleaf"):
            with hallu_models.attach(found, method, **STRONG[method]):
                fixed = found.model.generate(**inputs, **static)
                assert torch.equal(fixed, found.model.generate(**inputs, max_new_tokens=STEPS)), method


def test_the_matrix_has_every_cell_once():
    assert list(MATRIX)[: len(registry.families())] == list(registry.families())
    assert all(list(row) == list(METHODS) for row in MATRIX.values())
    assert set(STRONG) == set(METHODS), "a new method needs settings and a reference here"


@pytest.mark.parametrize("method", METHODS)
def test_a_card_says_what_its_method_uses(method):
    kind, uses = lazy.resolve(method), built_in.load(method).uses
    edits = any(kind().overrides(hook) for point in points.IN_ATTENTION for hook in point.hooks)
    # A method that edits none may read attention in passes of its own.
    assert "attention" in uses or not edits
    assert ("other_images" in uses) == kind().needs_other_image()


@pytest.mark.parametrize("name", others.REFUSED)
def test_models_that_no_method_can_act_on_are_refused_with_the_reason(name):
    model = others.REFUSED[name]()
    with pytest.raises(hallu_models.UnsupportedModel) as caught:
        loading.inspect(model)
    if not name.endswith("_t5"):
        assert matrix.table([built_in.load("vhr")])[name]["vhr"].reason in str(caught.value)


def test_every_refused_model_is_tried():
    from registry.model_families import family

    assert set(family.refused()) <= set(others.REFUSED)
    for name, row in family.refused().items():
        assert others.REFUSED[name]().config.model_type in row.model_types

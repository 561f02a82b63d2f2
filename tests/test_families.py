"""Every method on every model family, on tiny models of the real classes with their real processors."""

from __future__ import annotations

import dataclasses
import functools
import os

import equations
import pytest
import torch

import hallu_models
import registry
from hallu_models import generation, loading, methods, processing
from hallu_models.conversations import conversation
from hallu_models.session.plan import Plan
from hallu_models.testing import assert_contract, questions
from hallu_models.testing.families import REFUSED
from hallu_models.testing.questions import ROWS, conversations, host, other_images, picture
from registry.cards import built_in
from registry.model_families import matrix
from registry.plugins import lazy

STEPS = 4
STRONG = {name: dict(built_in.load(name).strong) for name in built_in.names()}

DIFFERENT = ("llava", "instructblip", "qwen2_5_vl", "gemma3", "qwen3_5", "mllama")
"""Families that differ most: queries, positions in three axes, windows, layers without heads, cross-attention."""

METHODS = built_in.names()
MATRIX = matrix.table(map(built_in.load, METHODS))
CELLS = [(family, method) for family in registry.families() for method in METHODS]
ACTING = [(family, method) for family, method in CELLS if MATRIX[family][method].status != "refused"]


def cells(chosen, more=()):
    """Tests of these cells; those of families outside of ``more``, where it is given, are slow."""
    marks = [[pytest.mark.slow] if more and family not in more else [] for family, _ in chosen]
    made = [pytest.param(*cell, id="-".join(cell), marks=mark) for cell, mark in zip(chosen, marks)]
    return pytest.mark.parametrize(("family", "method"), made)


acting = cells(ACTING, DIFFERENT)
families = pytest.mark.parametrize("family", registry.families())
ATTENTIVE = [name for name in registry.families() if (name, "vhr") in ACTING]
with_attention = pytest.mark.parametrize("family", ATTENTIVE)


GENERAL = "describe the content of the image ."


def rows(family):
    """A batch of up to four."""
    return questions.rows(family, 4)


def answers(family, method, numbers, parameters=None, **options):
    """Token ids of the rows with these numbers in one batch."""
    return [answer for answer, _ in answered(family, method, numbers, parameters, **options)]


def answered(family, method, numbers, parameters=None, **options):
    """Token ids and the logits (steps, V) they were chosen from, for each row of one batch."""
    parameters = STRONG.get(method, {}) if parameters is None else parameters
    images = other_images(numbers)
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
def test_the_contract(family, method):
    """In full where families differ most, for methods of ``references/`` on one; HALLU_CONTRACT=all is everywhere.

    Elsewhere a batch of rows agrees with the equations on each row alone, or with the row alone where there are none.
    """
    most = DIFFERENT if method in equations.WHOLE else DIFFERENT[:1]
    whole = family in most or os.environ.get("HALLU_CONTRACT") == "all"
    decides = lazy.resolve(method)().overrides("decode")
    reference = equations.REFERENCES.get(method)
    less = {} if whole else {"only": ("it acts", "batches" if reference is None else "reference")}
    if less and not decides:
        less["steps"] = STEPS
    report = assert_contract(method, families=[family], reference=reference, **less)
    if family in report.refused:
        # What auto takes may lack a part, and is refused when it is loaded.
        assert family == "auto"
        return
    ran = set(report.checks[family])
    beams = set() if decides else {"beams"}
    assert {"identity", "it acts", "batches", "backends", "clean exit", *beams} <= ran or not whole
    assert set(less.get("only", ())) <= ran
    assert ("reference" in ran) == (reference is not None)


@pytest.mark.parametrize("method", METHODS)
def test_a_card_says_what_its_method_uses(method):
    """What the table of families goes by is what the edit points go by."""
    found = host("llava")
    (item,) = methods.build(method, found.family, found.depth, STRONG[method])
    uses = set(built_in.load(method).uses)
    assert ("attention" in uses) == bool(Plan.of(found, (item,)).attended)
    assert ("other_images" in uses) == (item.needs_other_image() or item.overrides("other_image"))


@cells([cell for cell in CELLS if cell not in ACTING])
def test_a_refused_method_is_named_with_the_reason_and_what_works(family, method):
    with pytest.raises(hallu_models.UnsupportedModel, match=f"^{method} is refused on the family {family}") as caught:
        answers(family, method, rows(family))
    assert MATRIX[family][method].reason in str(caught.value)
    assert "cicd" in str(caught.value).partition("allowed there: ")[2]


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
    # The self-check encodes pictures as the family says that the processor takes them.
    with hallu_models.attach(unlisted, "cicd", check=False):
        pass


alone = functools.cache(lambda family, method: answered(family, method, rows(family)))


@cells([(family, method) for family in ATTENTIVE for method in ("vhr+cicd", "eah+vhr", "vhr+iava")], DIFFERENT)
def test_compositions_keep_rows_apart(family, method):
    numbers = rows(family)
    parameters = {f"{name}.{key}": value for name in method.split("+") for key, value in STRONG[name].items()}
    together = answered(family, method, numbers, parameters)
    agree(answered(family, method, numbers[-1:], parameters), together[-1:])
    for name in method.split("+"):
        assert differ(together, alone(family, name)), "both act"


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


def test_methods_that_fare_alike_share_a_column():
    (_, *rows), columns, _ = matrix.text(map(built_in.load, METHODS))
    assert sorted(name for _, *names in columns for name in names) == sorted(METHODS)
    assert [name for name, *_ in rows] == list(MATRIX)
    for _, first, *others in columns:
        assert all(row[first] == row[other] for row in MATRIX.values() for other in others)


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_no_method_can_act_on_are_refused_with_the_reason(name):
    model = REFUSED[name]()
    with pytest.raises(hallu_models.UnsupportedModel) as caught:
        loading.inspect(model)
    if not name.endswith("_t5"):
        assert matrix.table([built_in.load("vhr")])[name]["vhr"].reason in str(caught.value)


def test_every_refused_model_is_tried():
    from registry.model_families import family

    assert set(family.refused()) <= set(REFUSED)
    for name, row in family.refused().items():
        assert REFUSED[name]().config.model_type in row.model_types

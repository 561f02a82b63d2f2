"""Every method on every model family, on tiny models of the real classes with their real processors."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from families import reference, tiny
from PIL import Image
from test_session import state_of

import hallu_models
import registry
from hallu_models import generation
from hallu_models.generation import conversation

STEPS = 4
LAYERS = (1, 2, 3)
STRONG = {
    "vhr": {"layers": "1-3", "alpha": 2.0},
    "eah": {"layers": "1-3", "beta": 0.02},
    "dleaf": {"layers": "1-3", "gamma": 0.9, "k": 0.0},
    "sevi": {"layers": "1-3", "omega": 2.0},
    "cicd": {"beta": 0.1},
    "iava": {"layers": "1-3", "i": 0.6, "lam": -1.0},
}
"""Settings under which a method acts visibly on four layers and a handful of image tokens."""

FAMILIES = [name for name in registry.families() if name != "auto"]
CELLS = [(family, method) for family in FAMILIES for method in sorted(registry.methods())]
cells = pytest.mark.parametrize(("family", "method"), CELLS, ids=["-".join(cell) for cell in CELLS])


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
    return hallu_models.host.inspect(*tiny.built(family))


def rows(family):
    """Numbers of the rows that a family can take."""
    takes_text = registry.families()[family].images != "one"
    return [number for number, (image, _) in enumerate(ROWS) if image is not None or takes_text]


def conversations(numbers):
    return [conversation(*ROWS[number]) for number in numbers]


def answers(family, method, numbers, parameters=None, **options):
    """Token ids and logits (rows, steps, V) of the rows with these numbers in one batch."""
    parameters = STRONG.get(method, {}) if parameters is None else parameters
    if method == "iava":
        parameters = {"instruction": GENERAL, **parameters}
    others = [OTHERS[number] for number in numbers if OTHERS[number] is not None]
    found = host(family)
    with hallu_models.attach(found, method, other_images=others, observe=False, **parameters) as session:
        made = generation.generate_in(session, conversations(numbers), max_new_tokens=STEPS)
        return [list(one.token_ids) for one in made]


def logits_of(family, method, numbers):
    """As :func:`answers`, with the logits (rows, steps, V) that the answers were chosen from."""
    found, kept = host(family), {}
    generate = found.model.generate

    def generate_with_logits(**options):
        output = generate(**options, return_dict_in_generate=True, output_logits=True)
        kept["logits"] = torch.stack(output.logits, dim=1)
        return output.sequences

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found.model, "generate", generate_with_logits)
        ids = answers(family, method, numbers)
    return ids, kept["logits"]


@cells
def test_identity_settings_are_the_plain_model(family, method):
    numbers = rows(family)
    identity = dict(registry.methods()[method].identity)
    assert answers(family, method, numbers, identity) == answers(family, None, numbers)


@cells
def test_it_agrees_with_its_equations_at_prefill_and_every_step(family, method):
    numbers = [number for number in rows(family) if ROWS[number][0] is not None]
    ids, logits = logits_of(family, method, numbers)
    acted = False
    for number, answer, made in zip(numbers, ids, logits):
        inputs = generation.encode(host(family), conversations([number]))
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
    if method == "dleaf":
        return reference.dleaf(prompt, LAYERS, 0.9, 0.0)[answer]
    if method == "iava":
        general = generation.encode(host(family), [conversation(ROWS[number][0], GENERAL)])
        main = reference.forward(host(family), prompt.extended)[answer]
        other = reference.iava(prompt, dict(general), LAYERS, 0.6, -1.0)
        if other is None:
            return main
        combined = 2 * main - other[answer]
        return torch.where(main.softmax(-1) < 0.1 * main.softmax(-1).amax(-1, True), -torch.inf, combined)
    main = reference.forward(host(family), prompt.extended) if method == "cicd" else reference.sevi(prompt, LAYERS, 2.0)
    with_other = generation.encode(host(family), [conversation(OTHERS[number], ROWS[number][1])])
    other = reference.forward(host(family), reference.extended(dict(with_other), prompt.answer))
    return reference.contrasted(main, other, prompt, with_other["input_ids"].shape[1], 0.1)


@cells
def test_rows_do_not_depend_on_their_batch(family, method):
    numbers = rows(family)
    together = answers(family, method, numbers)
    for number, answer in zip(numbers, together):
        alone = method if ROWS[number][0] is not None else None
        assert answers(family, alone, [number])[0] == answer, f"row {number}"


@cells
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
        patch.setattr(model, "generate", lambda **options: generate(**options, logits_processor=[fail]))
        with pytest.raises(ZeroDivisionError):
            answers(family, method, numbers)
    assert state_of(model) == before
    assert answers(family, None, numbers) == plain

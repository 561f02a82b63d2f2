"""sham_brief beyond the contract: captions get shorter, answers of a word do not, and none is empty."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models
from hallu_models.demo.held_out import held_out
from hallu_models.interventions.sham_brief import ShamBrief


@pytest.fixture(scope="module")
def host():
    return hallu_models.load("demo", device="cpu")


def lengths(host, text, method="sham_brief", **parameters):
    asked = [hallu_models.conversation(scene.image(), text) for scene in held_out(number=12)]
    return [one.tokens for one in host.generate(asked, method, max_new_tokens=48, **parameters)]


def test_captions_get_shorter_with_the_bias(host):
    caption = "Please describe this image in detail."
    found = [sum(lengths(host, caption, bias=bias)) for bias in (-4.0, 0.0, 4.0, 12.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[1] > found[3]
    assert found[1] == sum(lengths(host, caption, None))


def test_an_answer_of_a_word_stays_one_and_none_is_empty(host):
    assert lengths(host, "Is there a dog in the image?", bias=100.0) == [2] * 12


def test_without_an_end_it_says_what_to_give(plain_heads):
    with (
        torch.no_grad(),
        hallu_models.attach(plain_heads, "sham_brief", check=False),
        pytest.raises(ValueError, match="no token ends an answer of this model: set model.generation_config"),
    ):
        plain_heads.generate(**prompts(MIXED), max_new_tokens=2)


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="^sham_brief: bias="):
        ShamBrief(bias=float("nan"))

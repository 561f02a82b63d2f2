"""AvisC beyond the contract: layers and tokens by the row, and what stands in their place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import registry
from hallu_models import generation
from hallu_models.interventions import LogitsStep, Negative, Prompt, Recorder, State
from hallu_models.interventions.avisc import AvisC
from hallu_models.testing.questions import conversations, host

BY_LAYER = torch.tensor(
    [
        [[0.3, 0.1, 0.1], [0.0, 0.2, 0.1], [0.1, 0.1, 0.0]],  # Shares 0.5, 0.3, 0.2.
        [[0.0, 0.1, 0.0], [0.1, 0.1, 0.0], [0.2, 0.5, 0.0]],  # 0.1, 0.2, 0.7; the last column is padding.
    ]
)
REAL = torch.tensor([[True, True, True], [True, True, False]])


@pytest.mark.parametrize(
    ("gamma", "expected"),
    [
        (0.5, [[True, False, False], [False, False, True]]),
        (0.6, [[True, True, False], [False, False, True]]),
        (0.75, [[True, True, False], [False, True, True]]),
        (1.0, [[True] * 3, [True] * 3]),
    ],
)
def test_layers_are_chosen_for_each_row(gamma, expected):
    """As many as hold gamma; one that holds exactly as much is enough."""
    attention, chosen = AvisC(gamma=gamma).attention(BY_LAYER)
    assert chosen.tolist() == expected
    for row in range(2):
        mean = torch.stack([BY_LAYER[row, layer] for layer in range(3) if expected[row][layer]]).mean(dim=0)
        torch.testing.assert_close(attention[row], mean)


def test_the_limit_is_that_of_the_row_s_own_tokens():
    attention = torch.tensor([[0.1, 0.2, 0.6], [0.3, 0.5, 0.0]])
    limit = AvisC(lam=2.0).limit(attention, REAL)
    expected = [row.mean() + 2 * row.std() for row in (attention[0], attention[1, :2])]
    torch.testing.assert_close(limit[:, 0], torch.stack(expected))


def test_a_single_token_is_blind():
    one = torch.tensor([[0.4]])
    assert (one >= AvisC().limit(one, torch.tensor([[True]]))).all()


def test_what_is_no_number_is_not_subtracted():
    logits = torch.tensor([[2.0, 1.0, -9.0], [2.0, 1.0, -9.0]])
    negative = torch.tensor([[1.0, math.nan, 0.0], [1.0, 2.0, 0.0]])
    at = LogitsStep(0, None, State("avisc", 2), Recorder(), None)
    found = AvisC().contrast(logits, negative, at)
    assert found[0].tolist() == [2.0, 1.0, -math.inf]
    assert found[1].tolist() == [3.0, 0.0, -math.inf]


@dataclass(frozen=True)
class Kept(AvisC):
    seen: list[Any] = field(default_factory=list)

    def negative(self, prompt: Prompt) -> Negative:
        self.seen.append((prompt, super().negative(prompt)))
        return self.seen[-1][1]


def image_tokens(numbers, family="llava", **parameters):
    """Embeddings (N, D) of the image tokens in each negative row, and which are the model's own; what was observed."""
    method = Kept(**parameters)
    made = generation.generate(host(family), conversations(numbers), method, max_new_tokens=1)
    ((prompt, negative),) = method.seen
    image, own = prompt.layout.image, prompt.embeddings
    found = [
        (negative.inputs.embeddings[row, image[row]], (negative.inputs.embeddings == own)[row, image[row]].all(dim=1))
        for row in range(len(numbers))
    ]
    return found, made[0].observations


@pytest.mark.parametrize(("mask", "value"), [("zeros", 0.0), ("ones", 1.0)])
def test_what_is_not_blind_is_masked(mask, value):
    found, observed = image_tokens([0, 1, 3], mask=mask)
    for row, (embeddings, blind) in enumerate(found):
        assert torch.equal(blind, torch.as_tensor(observed["blind"].values[row]).bool())
        assert blind.any()
        assert (embeddings[~blind] == value).all()


def test_noise_is_the_picture_s_own():
    """In any batch and in any place of it; rows without a picture take none away from the others."""
    together, _ = image_tokens([1, 2, 0], mask="noise", lam=math.inf)
    ((alone, _),) = image_tokens([0], mask="noise", lam=math.inf)[0]
    assert torch.equal(together[2][0], alone)
    assert not torch.equal(together[0][0], alone)
    ((other, _),) = image_tokens([0], mask="noise", lam=math.inf, noise_seed=1)[0]
    assert not torch.equal(other, alone)
    assert alone.std() == pytest.approx(1, abs=0.1)


def test_alphas_of_the_scripts_are_the_presets():
    card = registry.methods()["avisc"]
    assert [card.settings(family)["alpha"] for family in ("llava", "instructblip", "qwen2_vl")] == [2.5, 3.0, 1.0]


@pytest.mark.parametrize("parameters", [{"gamma": 0.0}, {"gamma": 1.1}, {"alpha": -1.0}, {"mask": "mean"}, {"beta": 0}])
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^avisc: {name}="):
        AvisC(**parameters)

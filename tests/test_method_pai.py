"""PAI beyond the contract: what is raised, when, and which branch is cut."""

from __future__ import annotations

import math

import equations
import pytest
import torch
from layer_steps import at, layout, logits

from hallu_models.interventions import HIDDEN
from hallu_models.interventions.pai import PAI
from hallu_models.testing import assert_contract


def test_a_negative_score_on_the_image_rises_too():
    scores = torch.tensor([[[5.0, -2.0, 2.0, -1.0]]])
    assert PAI(layers="0", alpha=0.5).row_scores(scores, at(layout("tiit"))).tolist() == [[[5.0, -1.0, 3.0, -1.0]]]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_a_column_that_is_hidden_stays_hidden(alpha):
    scores = torch.tensor([[[1.0, HIDDEN, 2.0]]])
    edited = PAI(layers="0", alpha=alpha).row_scores(scores, at(layout("iit")))
    assert edited.tolist() == [[[1 + alpha, HIDDEN, 2.0]]]


@pytest.mark.parametrize(
    ("variant", "gamma", "raised"),
    [
        ("paper", 1.1, {0, 1, 2}),
        ("paper", 1.0, {0, 1, 2}),
        ("official", 1.1, {1, 2}),  # The prompt is read as it is.
        ("official", 1.0, {0, 1, 2}),
    ],
)
def test_guidance_does_not_switch_the_boost_off(variant, gamma, raised):
    found = layout("it")
    method = PAI(layers="0", alpha=1.0, gamma=gamma, variant=variant)
    scores = {step: torch.ones(1, 1, 2 + step) for step in range(3)}
    assert raised == {step for step, own in scores.items() if method.row_scores(own, at(found, step=step))[0, 0, 0] > 1}


def test_the_cut_goes_by_the_main_branch_and_gamma_one_has_none():
    own, text = torch.tensor([[0.0, -1.0, -3.0]]), torch.tensor([[0.0, 0.0, -9.0]])
    made = PAI(gamma=2.0).contrast(own, text, at(layout("it")))
    lp, lt = own.log_softmax(-1), text.log_softmax(-1)
    torch.testing.assert_close(made[0, :2], (2 * lp - lt)[0, :2])
    assert made[0, 2] == -math.inf, "what the text finds unlikely is not likely for that"
    assert not PAI(gamma=1.0).contrasts()


@pytest.mark.parametrize("parameters", [{"variant": "official"}, {"gamma": 1.0}])
def test_the_contract_of_the_other_settings(parameters):
    strong = {"layers": "1-3", "alpha": 2.0, "gamma": 1.5, **parameters}
    assert_contract("pai", families=["qwen2_5_vl"], parameters=strong, reference=equations.REFERENCES["pai"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    found = logits(dtype, "pai", layers="1-4", alpha=3.0, gamma=2.0)
    assert not found.isnan().any()
    assert (found.amax(dim=-1) < math.inf).all() and found.isfinite().any(dim=-1).all()

"""M3ID beyond the contract: how its weight grows, where it stops, and answers without contrast."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models
from hallu_models.interventions import LogitsStep, Recorder, State
from hallu_models.interventions.m3id import M3ID

SEEN = torch.tensor([[4.0, 3.5, 0.0, -9.0], [9.0, 1.0, 0.0, 0.5]])
UNSEEN = torch.tensor([[6.0, 1.0, 0.0, 2.0], [1.0, 9.0, 0.0, 0.5]])


def at(step, keep=None):
    return LogitsStep(step, None, State("m3id", 2), Recorder(keep), None)


def test_the_weight_grows_with_every_token(plain_heads):
    batch = prompts(MIXED, [True, True, False, True])
    with torch.no_grad(), hallu_models.attach(plain_heads, "m3id", lam=0.3, check=False) as session:
        plain_heads.generate(**batch, max_new_tokens=4)
    weight = torch.as_tensor(session.observations["weight"].values)
    expected = torch.tensor([math.exp(0.3 * t) - 1 for t in (1, 2, 3, 4)])
    torch.testing.assert_close(weight, expected.expand(4, 4).to(weight))


def test_t0_is_the_first_token_s():
    """At t = 0 nothing is contrasted, and what is implausible goes all the same."""
    (first,) = M3ID(t0=0, lam=0.5).contrast(SEEN[:1], UNSEEN[:1], at(0))
    torch.testing.assert_close(first[:2], SEEN[0].log_softmax(0)[:2])
    assert torch.isinf(first[2:]).all()
    assert torch.equal(
        M3ID(t0=1, lam=0.5).contrast(SEEN, UNSEEN, at(0)), M3ID(t0=0, lam=0.5).contrast(SEEN, UNSEEN, at(1))
    )


def test_rows_that_are_confident_are_the_plain_model_s():
    kept = {}
    found = M3ID(confident=0.9).contrast(SEEN, UNSEEN, at(5, lambda name, value, *_: kept.update({name: value})))
    assert torch.equal(found[1], SEEN[1])
    assert not torch.equal(found[0], SEEN[0])
    assert kept["weight"][1] == 0 < kept["weight"][0]
    torch.testing.assert_close(kept["prior"], UNSEEN.softmax(-1)[:, 0])


def test_the_end_of_a_long_answer_is_finite():
    found = M3ID(lam=0.5, beta=0.5).contrast(SEEN, UNSEEN, at(4095))
    assert not found.isnan().any()
    assert found[0].argmax() == 1, "of the plausible tokens the one that the image favours most"


@pytest.mark.parametrize("parameters", [{"lam": -0.1}, {"t0": -1}, {"beta": 0.0}, {"confident": 0.0}, {"layers": "1"}])
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^m3id: {name}="):
        M3ID(**parameters)

"""sham_negative beyond the contract: what the noise depends on, and that no second branch is run."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models
from hallu_models.engines.step import LogitsStep, Recorder, State
from hallu_models.interventions.sham_negative import ShamNegative
from hallu_models.layout import Layout

NONE = torch.zeros(1, 3, dtype=torch.bool)


def edited(logits, keys, step=0, **parameters):
    generation = State("sham_negative", len(keys))
    generation["keys"] = torch.tensor(keys)
    at = LogitsStep(step, Layout(NONE, NONE), generation, Recorder(), lambda *_: logits)
    return ShamNegative(**parameters).token_logits(logits, at)


def test_the_noise_has_the_size_that_is_asked_for_and_is_the_row_s_own():
    logits = torch.zeros(2, 20000)
    made = edited(logits, [5, 6], beta=1e-30, sigma=0.7, alpha=2.0)
    assert made.std(dim=-1).tolist() == pytest.approx([1.4, 1.4], rel=0.02)
    assert made.mean(dim=-1).abs().max() < 0.03
    assert torch.corrcoef(made)[0, 1].abs() < 0.03
    torch.rand(5)
    assert torch.equal(edited(logits[:1], [6], beta=1e-30, sigma=0.7, alpha=2.0)[0], made[1])
    later = edited(logits, [5, 6], step=1, beta=1e-30, sigma=0.7, alpha=2.0)
    assert torch.corrcoef(torch.stack([later[0], made[0]]))[0, 1].abs() < 0.03


def test_what_is_not_plausible_stays_impossible():
    logits = torch.tensor([[0.0, -1.0, -9.0, -torch.inf]])
    made = edited(logits, [1])
    assert made.isfinite().tolist() == [[True, True, False, False]]
    assert not made.isnan().any()


def test_no_branch_is_run(plain_heads):
    batch, forwards = prompts(MIXED), []
    with torch.no_grad(), hallu_models.attach(plain_heads, "sham_negative", check=False) as session:
        hook = plain_heads.get_decoder().register_forward_hook(lambda *_: forwards.append(1))
        plain_heads.generate(**batch, max_new_tokens=4)
        hook.remove()
    assert len(forwards) == 4
    assert (torch.as_tensor(session.observations["jsd"].values) > 0).all()


def test_beams_of_a_prompt_share_its_noise(plain_heads):
    batch = prompts(MIXED)
    with torch.no_grad(), hallu_models.attach(plain_heads, "sham_negative", check=False) as session:
        plain_heads.generate(**batch, max_new_tokens=2)
        alone = torch.as_tensor(session.observations["jsd"].values)
        plain_heads.generate(**batch, max_new_tokens=2, num_beams=2)
        beams = torch.as_tensor(session.observations["jsd"].values)
    torch.testing.assert_close(beams[:, 0], alone[:, 0].repeat_interleave(2))


@pytest.mark.parametrize("parameters", [{"alpha": -1.0}, {"beta": 0.0}, {"sigma": -0.1}, {"draw": -1}])
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^sham_negative: {name}="):
        ShamNegative(**parameters)

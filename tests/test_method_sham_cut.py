"""sham_cut beyond the contract: it is what is left of a contrast that is not made."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models
from hallu_models.interventions.sham_cut import ShamCut
from hallu_models.interventions.vcd import VCD

LOGITS = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.97, 0.01, 0.01, 0.01]]))


def cut(beta):
    return ShamCut(beta=beta).token_logits(LOGITS, at=type("At", (), {"record": False}))


def test_tokens_are_cut_below_a_share_of_the_favourite():
    assert cut(0.4).isfinite().tolist() == [[True, True, False, False], [True, False, False, False]]
    assert torch.equal(cut(0.4)[0, :2], LOGITS[0, :2])
    assert torch.equal(cut(0.0), LOGITS)


def test_it_is_vcd_s_cut():
    """A contrast with the same prediction changes nothing but what is possible."""
    contrasted = VCD(beta=0.2).contrast(LOGITS, LOGITS, type("At", (), {"record": False}))
    assert torch.equal(contrasted.isfinite(), cut(0.2).isfinite())
    torch.testing.assert_close(contrasted, cut(0.2))


def test_greedy_answers_stay_and_sampling_becomes_greedy(plain_heads):
    batch, free = prompts(MIXED), {"do_sample": True, "top_k": 0, "temperature": 1.0}

    def answers(seed, method="sham_cut", beta=0.999, **options):
        torch.manual_seed(seed)
        parameters = {"beta": beta} if method else {}
        with torch.no_grad(), hallu_models.attach(plain_heads, method, check=False, **parameters):
            return plain_heads.generate(**batch, max_new_tokens=6, **options)[:, -6:].tolist()

    greedy = answers(0, None, do_sample=False)
    assert answers(0, do_sample=False) == greedy
    assert answers(1, **free) == greedy
    assert answers(1, None, **free) != greedy


@pytest.mark.parametrize("beta", [-0.1, 1.1])
def test_bad_parameters_are_named(beta):
    with pytest.raises(ValueError, match="^sham_cut: beta="):
        ShamCut(beta=beta)

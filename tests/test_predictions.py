"""Predictions beside each other: what one method has ruled out decides nothing and stays impossible."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import MIXED, prompts
from test_contract import session

from hallu_models.interventions import contrasted, jensen_shannon, plausible, reversed_divergence, supported

CUT = torch.tensor([[1.0, -math.inf, 2.0, -math.inf, 0.5]])
OTHER = torch.tensor([[0.3, 4.0, -1.0, 2.0, 1.5]])
SHARED = [0, 2, 4]


@pytest.mark.parametrize("divergence", [jensen_shannon, reversed_divergence])
def test_tokens_that_one_cannot_choose_tell_nothing_apart(divergence):
    among = divergence(CUT[:, SHARED], OTHER[:, SHARED])
    torch.testing.assert_close(divergence(CUT, OTHER), among)
    torch.testing.assert_close(divergence(OTHER, CUT), among)
    layers = torch.stack([OTHER[0], CUT[0], 2 * OTHER[0]])[None]
    torch.testing.assert_close(divergence(CUT[:, None], layers)[0, 0], among[0])
    assert bool((divergence(CUT[:, None], layers) >= 0).all()) and float(divergence(CUT, CUT)) < 1e-6


def test_combinations_cut_by_the_models_own_prediction_and_leave_it_alone_at_zero():
    assert contrasted(OTHER, CUT, 0.0, 0.5) is OTHER and supported(OTHER, CUT, 0.0, 0.5) is OTHER
    torch.testing.assert_close(contrasted(CUT, OTHER, 1.0, 0.5), plausible(2 * CUT - OTHER, CUT, 0.5))
    torch.testing.assert_close(supported(OTHER, CUT, 2.0, 0.9).isfinite(), torch.tensor([[False, False, *[False] * 3]]))


def logits(model, method):
    """(T, B, V) of a few tokens."""
    batch = prompts(MIXED)
    options = {"max_new_tokens": 3, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    with torch.no_grad(), session(model, method, batch, {}).attached():
        return torch.stack(model.generate(**batch, **options).logits)


@pytest.mark.parametrize("second", ["cicd", "dola", "vista", "m3id", "vcd", "only"])
def test_a_method_behind_one_that_rules_tokens_out(model, second):
    """DeCo leaves a few candidates; what comes behind chooses among these, by numbers, and does something."""
    alone = logits(model, "deco")
    both = logits(model, f"deco+{second}")
    assert not bool(both.isnan().any())
    # VISTA turns hidden states, so DeCo's candidates are others before it.
    kept = both[0].isfinite()
    assert second == "vista" or bool((kept <= alone[0].isfinite()).all())
    assert bool((kept.sum(dim=-1) > 0).all() and (kept.sum(dim=-1) <= 20).all())
    assert not torch.equal(both[0][kept], alone[0][kept])

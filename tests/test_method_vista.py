"""VISTA: what the contract does not see."""

from __future__ import annotations

import torch

from hallu_models.interventions import LayerStep, State
from hallu_models.interventions.vista import VISTA, change, unit
from hallu_models.testing import questions


def test_the_released_layers_of_32():
    """25 to 30, both ends included, of outputs of layers: the embeddings are left out there."""
    assert VISTA().bind("llava", 32).early_layers(32) == tuple(range(25, 31))


def test_what_the_image_does_not_reach_is_not_turned():
    """Rounding has a direction as well, and would be brought to full length."""
    same = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    other = torch.stack([same[0] * (1 + 2e-7), same[1] + 0.1])
    found = change(other, same)
    assert not bool(found[0].any())
    torch.testing.assert_close(found[1], torch.full((8,), 0.1))
    assert torch.equal(unit(found)[0], torch.zeros(8))


def test_both_halves_act_alone():
    host, asked = questions.host("llava"), questions.conversations([1])
    answers = set()
    for given in ({"lam": 0.0, "gamma": 0.0}, {"gamma": 0.0}, {"lam": 0.0}):
        strong = {"lam": 2.0, "gamma": 0.9, "lens_layers": "1-2", **given}
        answers.add(host.generate(asked, method="vista", max_new_tokens=8, **strong)[0].token_ids)
    assert len(answers) == 3


def test_the_length_stays_in_half_precision_too():
    """It may lie above what the type can hold."""
    hidden = torch.full((1, 2, 4096), 1500.0, dtype=torch.float16)
    towards = unit(torch.randn(1, 1, 4096, generator=torch.Generator().manual_seed(0)))
    at = LayerStep(3, 0, None, None, State("vista", 1), State("vista", 1), {})
    at.generation["towards"] = {3: towards}
    turned = VISTA(lam=0.5).feed_forward_output(hidden, at)
    torch.testing.assert_close(turned.norm(dim=-1), hidden.float().norm(dim=-1))
    assert bool(turned.half().isfinite().all())

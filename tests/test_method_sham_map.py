"""sham_map beyond the contract: it acts where EAH does, with any head."""

from __future__ import annotations

import pytest
import torch
from conftest import prompts

import hallu_models
from hallu_models import methods
from hallu_models.interventions.sham_map import ShamMap

FORTY = [(3, 4)] * 40


def chosen(model, batch, method, **parameters):
    """(B, layers) heads whose maps all heads are given; -1 where a layer stays as it is."""
    parameters = {"layers": "1-3", "beta": 0.02, **parameters}
    with torch.no_grad(), hallu_models.attach(model, method, check=False, **parameters) as session:
        model.generate(**batch, max_new_tokens=2)
        return torch.as_tensor(session.observations["chosen_head"].values)[:, 0]


@pytest.mark.parametrize("beta", [0.02, 0.1, 0.2])
def test_it_acts_where_eah_does(plain_heads, beta):
    batch = prompts(FORTY)
    drawn, own = (chosen(plain_heads, batch, method, beta=beta) for method in ("sham_map", "eah"))
    # From the second edited layer on both see what they did to the first.
    assert torch.equal(drawn[:, 0] < 0, own[:, 0] < 0)
    if beta == 0.2:
        assert 0 < int((own[:, 0] < 0).sum()) < 40, "there are both kinds of prompts"


def test_any_head_is_drawn_and_the_draw_is_the_prompt_s_own(plain_heads):
    batch = prompts(FORTY)
    expected = chosen(plain_heads, batch, "sham_map")
    assert expected.unique().tolist() == [0, 1, 2, 3]
    order = torch.arange(40).flip(0)
    turned = {name: value[order] for name, value in batch.items()}
    assert torch.equal(chosen(plain_heads, turned, "sham_map"), expected[order])
    assert not torch.equal(chosen(plain_heads, batch, "sham_map", draw=1), expected)


def test_official_is_eah_s_layer_and_beta():
    (item,) = methods.build("sham_map", "llava", 32, {"variant": "official"})
    assert (type(item), item.layers, item.beta) == (ShamMap, "15", 0.0008)

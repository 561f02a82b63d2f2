"""TARAC beyond the contract: what is remembered, in which columns, and what pays for it."""

from __future__ import annotations

import equations
import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from layer_steps import at, layout, logits

import hallu_models
from hallu_models.interventions import LayerStep
from hallu_models.interventions.tarac import TARAC
from hallu_models.testing import assert_contract


def test_a_memory_with_a_decay_is_added_and_the_text_pays():
    found, method = layout("ti"), TARAC(layers="0", alpha=1.0, beta=0.5)
    first = at(found)
    edited = method.row_attention(torch.tensor([[[0.6, 0.4]]]), first)
    torch.testing.assert_close(edited, torch.tensor([[[0.6, 0.8]]]) / 1.4)
    second = LayerStep(0, 1, found, found.columns(3), first.state, first.generation, {})
    edited = method.row_attention(torch.tensor([[[0.3, 0.2, 0.5]]]), second)
    # What is remembered is what the model looked at, not what it was made to look at.
    torch.testing.assert_close(edited, torch.tensor([[[0.3, 0.2 + 0.4 / 2 + 0.2, 0.5]]]) / 1.4)


def test_a_window_moves_on_and_the_memory_does_not():
    found, method = layout("tiit"), TARAC(layers="0", alpha=1.0, beta=1.0, renormalise=False)
    first = at(found)
    method.row_attention(torch.tensor([[[0.1, 0.2, 0.3, 0.4]]]), first)
    second = LayerStep(0, 1, found, found.columns(5, seen=3), first.state, first.generation, {})
    edited = method.row_attention(torch.tensor([[[0.5, 0.25, 0.25]]]), second)
    torch.testing.assert_close(edited, torch.tensor([[[0.5 + 0.3 + 0.5, 0.25, 0.25]]]))


def test_what_a_mask_hides_is_given_no_attention():
    method, place = TARAC(layers="0", alpha=1.0, memory="layer"), at(layout("tit"))
    edited = method.row_attention(torch.tensor([[[0.5, 0.0, 0.5], [0.25, 0.5, 0.25]]]), place)
    assert edited[0, 0].tolist() == [0.5, 0.0, 0.5]
    assert float(edited[0, 1, 1]) > 0.5


def test_it_runs_in_a_model_of_windows():
    model, batch = tiny_llava(2, window=6), prompts(MIXED)
    with torch.no_grad(), hallu_models.attach(model, "tarac", layers="1-4", alpha=2.0) as session:
        model.generate(**batch, max_new_tokens=8)
    mass = session.observations["image_mass"].values  # rows, steps, layers, heads
    assert mass[:, 0].max() > 0 and mass[:, -1].max() == 0, "the image lies behind the window by then"


@pytest.mark.parametrize("parameters", [{"memory": "layer"}, {"renormalise": False, "beta": 0.9}])
def test_the_contract_of_the_other_settings(parameters):
    strong = {"layers": "1-3", "alpha": 2.0, **parameters}
    assert_contract("tarac", families=["qwen2_5_vl"], parameters=strong, reference=equations.REFERENCES["tarac"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    assert logits(dtype, "tarac", layers="1-4", alpha=3.0, beta=1.0).isfinite().all()

"""SPARC beyond the contract: what is selected and when it acts, windows, tiny averages, and what stays untouched."""

from __future__ import annotations

import equations
import pytest
import torch
from conftest import MIXED, prompts, tiny_llava
from layer_steps import at, layout, logits

import hallu_models
from hallu_models import methods
from hallu_models.hosts import forward
from hallu_models.interventions import BadArgument
from hallu_models.interventions.sparc import LOUDEST, SPARC
from hallu_models.testing import assert_contract

METHOD = SPARC(layers="0", alpha=2.0, tau=1.0, beta=0.25, selection_layer="0")


def looked(place, *attention):
    """One head and one row look at the columns like that."""
    METHOD.row_attention(torch.tensor([[attention]]), place)
    return {name: value[0].tolist() for name, value in place.generation.items()}


def test_selected_is_what_rises_over_an_average_that_weighs_the_past_with_beta():
    found = layout("tii")
    kept = looked(at(found), 0.5, 0.2, 0.1)
    assert kept == {"average": pytest.approx([0.0, 0.2, 0.1]), "scale": [1.0, 1.0, 1.0]}
    kept = looked(at(found, step=1, **tensors(kept)), 0.9, 0.3, 0.2, 0.1)
    assert kept == {"average": pytest.approx([0.0, 0.275, 0.175]), "scale": [1.0, 1.0, 2.0]}
    kept = looked(at(found, step=2, **tensors(kept)), 0.9, 0.6, 0.4, 0.0, 0.0)
    assert kept["scale"] == [1.0, 2.0, 4.0], "selected again, it is multiplied again"


def tensors(kept):
    return {name: torch.tensor([value]) for name, value in kept.items()}


def test_what_a_forward_selects_acts_from_the_next_one_on():
    place = at(layout("ti"), step=1, average=torch.tensor([[0.0, 0.1]]), scale=torch.tensor([[1.0, 3.0]]))
    values = torch.ones(1, 1, 3, 2)
    METHOD.row_attention(torch.tensor([[[0.1, 0.8, 0.1]]]), place)
    assert METHOD.values(values, place)[0, 0, :, 0].tolist() == [1.0, 3.0, 1.0]
    place.shared.clear()
    assert METHOD.values(values, place)[0, 0, :, 0].tolist() == [1.0, 6.0, 1.0]


def test_rows_select_for_themselves():
    found = layout("tii", "tii")
    place = at(found, step=1, average=torch.full((2, 3), 0.1), scale=torch.ones(2, 3))
    METHOD.row_attention(torch.tensor([[[0.0, 0.5, 0.1, 0.0]], [[0.0, 0.1, 0.5, 0.0]]]), place)
    assert place.generation["scale"].tolist() == [[1.0, 2.0, 1.0], [1.0, 1.0, 2.0]]


@pytest.mark.parametrize(
    ("average", "attention", "chosen"),
    [
        (1e-7, 6e-5, True),  # A quotient of 600, and in half precision none at all.
        (0.0, 1e-3, True),
        (0.0, 0.0, False),
        (1e-38, 1e-38, False),
    ],
)
def test_an_average_of_nearly_nothing(average, attention, chosen):
    place = at(layout("ti"), step=1, average=torch.tensor([[0.0, average]]), scale=torch.ones(1, 2))
    METHOD.row_attention(torch.tensor([[[0.5, attention, 0.5]]]), place)
    assert place.generation["scale"].tolist() == [[1.0, 2.0 if chosen else 1.0]]
    assert place.generation["average"].isfinite().all()


def test_a_factor_ends_where_half_precision_would():
    place = at(layout("ti"), step=1, average=torch.tensor([[0.0, 0.1]]), scale=torch.tensor([[1.0, 900.0]]))
    METHOD.row_attention(torch.tensor([[[0.1, 0.8, 0.1]]]), place)
    assert place.generation["scale"].tolist() == [[1.0, LOUDEST]]


def test_a_window_moves_on_and_the_factors_do_not():
    place = at(layout("tiit"), step=1, average=torch.zeros(1, 4), scale=torch.tensor([[1.0, 5.0, 7.0, 1.0]]))
    place.columns = place.layout.columns(5, seen=3)
    assert METHOD.values(torch.ones(1, 1, 3, 1), place)[0, 0, :, 0].tolist() == [7.0, 1.0, 1.0]
    METHOD.row_attention(torch.tensor([[[0.9, 0.0, 0.1]]]), place)
    assert place.generation["scale"].tolist() == [[1.0, 5.0, 14.0, 1.0]]


def test_the_cache_keeps_the_model_s_own_values():
    """In layer 0 they hang on the token alone."""
    model, batch = tiny_llava(2), prompts(MIXED)
    caches = []
    for method, options in ((None, {}), ("sparc", {"alpha": 3.0, "tau": 0.01, "selection_layer": "0"})):
        cache = forward.new_cache(model.get_decoder())
        with torch.no_grad(), hallu_models.attach(model, method, check=False, **options) as session:
            model.generate(**batch, max_new_tokens=8, **{forward.cache_parameter(model.forward): cache})
        caches.append(cache.layers[0].values[:, :, : batch["input_ids"].shape[1]])
    assert session.observations["scale"].values.max() > 3
    assert torch.equal(*caches)


def test_rows_are_explicit_in_the_selection_layer_alone():
    (item,) = methods.build("sparc", "llava", 32, {})
    assert item.hook_layers("row_attention", 32) == (20,) and item.hook_layers("values", 32) == tuple(range(32))
    (item,) = methods.build("sparc", "llava", 40, {"layers": "30-39"})
    assert item.selection_layer == "25" and item.layer_list(40) == (25, *range(30, 40))


def test_settings_by_family():
    taus = [methods.build("sparc", family, 32, {})[0].tau for family in ("llava", "llava_next", None)]
    assert taus == [1.5, 4.0, 1.5]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("4-5", "sparc: selection_layer=4-5 names 2 layers; give one"),
        ("none", "names 0 layers"),
        ("32", "sparc: selection_layer=32: layer 32 does not exist"),
    ],
)
def test_the_selection_layer_is_one_layer(given, message):
    with pytest.raises(BadArgument, match=message):
        methods.build("sparc", "llava", 32, {"selection_layer": given})


def test_the_contract_where_the_selection_lies_in_front_of_the_scaled_layers():
    strong = {"layers": "2-3", "alpha": 1.5, "tau": 0.1, "selection_layer": "1"}
    assert_contract("sparc", families=["qwen2_5_vl"], parameters=strong, reference=equations.REFERENCES["sparc"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    assert logits(dtype, "sparc", alpha=5.0, tau=0.01, selection_layer="1").isfinite().all()

"""VAR beyond the contract: which dimensions, which tokens, which heads, and who gets what is freed."""

from __future__ import annotations

import equations
import pytest
import torch
from layer_steps import at, layout, logits

from hallu_models import methods
from hallu_models.interventions import BadArgument
from hallu_models.interventions.var import VAR
from hallu_models.testing import assert_contract

METHOD = VAR(layers="1", p=0.5, tau=2.0, rho=0.5, mass=0.2, dimensions="search")


def hidden(*rows):
    """(B, L, 8) whose tokens are huge in the dimensions named, and 1 elsewhere; None is small everywhere."""
    states = torch.ones(len(rows), len(rows[0]), 8)
    for row, tokens in enumerate(rows):
        for token, dimension in enumerate(tokens):
            if dimension is not None:
                states[row, token, dimension] = -50.0
    return states


def test_the_first_token_tells_the_dimensions_of_its_own_row():
    """Behind the padding, which may hold anything; another row's dimensions are not its own."""
    found = layout(".tiit", "tiitt")
    states = hidden([7, 3, 3, 5, None], [5, 3, 5, 5, None])
    assert METHOD.sinks(states, found).tolist() == [
        [False, True, True, False, False],
        [True, False, True, True, False],
    ]


def test_listed_dimensions_and_the_threshold():
    found, states = layout("tiit"), hidden([None, 3, 5, 3])
    fixed = VAR(layers="1", tau=2.0, dimensions="3+1")
    assert fixed.sinks(states, found).tolist() == [[False, True, False, True]]
    assert not VAR(layers="1", tau=2.9, dimensions="3").sinks(states, found).any(), "the root of 8 is the most"
    with pytest.raises(BadArgument, match="dimension 9 does not exist, hidden states have 8; use dimensions=search"):
        VAR(layers="1", dimensions="3+9").sinks(states, found)


def redistributed(attention, sinks, row="tiit"):
    place = at(layout(row), layer=1, sinks={1: torch.tensor([sinks])})
    return METHOD.text_attention(torch.tensor([[[attention]]]), place)[0, 0, 0]


def test_text_sinks_are_scaled_too_and_the_image_gets_what_is_freed_in_proportion():
    edited = redistributed([0.4, 0.1, 0.3, 0.1, 0.1], [True, True, False, False, False], "tiiit")
    torch.testing.assert_close(edited, torch.tensor([0.2, 0.05, 0.3 + 0.1875, 0.1 + 0.0625, 0.1]))
    assert float(edited.sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("attention", "sinks"),
    [
        ([0.85, 0.05, 0.1, 0.0], [True, True, False, False]),  # Looks away from the image.
        ([0.2, 0.41, 0.39, 0.0], [True, True, False, False]),  # Looks at the sink in it.
        ([0.2, 0.3, 0.4, 0.1], [True, False, False, False]),  # No image token is a sink.
    ],
)
def test_other_heads_are_left_alone(attention, sinks):
    assert torch.equal(redistributed(attention, sinks), torch.tensor(attention))


def test_half_of_the_image_attention_and_a_fifth_of_all_are_enough():
    assert float(redistributed([0.75, 0.125, 0.125, 0.0], [False, True, False, False])[1]) == 0.0625


def test_all_of_the_image_may_be_sinks():
    method = VAR(layers="1", p=0.0, rho=1.0, mass=0.0, dimensions="search")
    place = at(layout("tit"), layer=1, sinks={1: torch.tensor([[True, True, False]])})
    attention = torch.tensor([[[[0.5, 0.5, 0.0]]]])
    assert torch.equal(method.text_attention(attention, place), attention)


def test_sinks_are_found_in_the_prefill_for_the_next_layer_and_kept():
    found = layout("tit")
    place = at(found)
    METHOD.layer_output(hidden([3, 3, None]), place)
    assert place.generation["sinks"][1].tolist() == [[True, True, False]]
    later = at(found, step=1, layer=1, sinks=place.generation["sinks"])
    METHOD.layer_output(hidden([3]), later)
    assert list(later.generation["sinks"]) == [1]
    edited = METHOD.text_attention(torch.tensor([[[[0.2, 0.4, 0.2, 0.2]]]]), later)
    assert torch.equal(edited, torch.tensor([[[[0.2, 0.4, 0.2, 0.2]]]])), "the only image token is the sink"


@pytest.mark.parametrize(
    ("family", "depth", "dimensions", "edited"),
    [
        ("llava", 32, "1415+2533", (2, 30)),
        ("llava", 40, "2100+4743", (2, 38)),
        ("llava_next", 40, "2100+4743", (2, 38)),
        ("qwen2_5_vl", 28, "search", (2, 26)),
        (None, 8, "search", (2, 6)),
    ],
)
def test_the_first_two_layers_and_the_last_one_are_left_alone(family, depth, dimensions, edited):
    (item,) = methods.build("var", family, depth, {})
    layers = item.hook_layers("text_attention", depth)
    assert (item.dimensions, (layers[0], layers[-1])) == (dimensions, edited)
    assert item.hook_layers("layer_output", depth) == tuple(layer - 1 for layer in layers)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layers": "0-3"}, "var: layers=0-3: .* layer 0 has none"),
        ({"dimensions": "few"}, "var: dimensions=few are none; allowed: auto, search, or"),
        ({"p": 1.5}, "var: p=1.5 is out of range"),
    ],
)
def test_settings_that_are_refused(parameters, message):
    with pytest.raises(BadArgument, match=message):
        methods.build("var", "llava", 32, parameters)


def test_the_contract_with_listed_dimensions():
    strong = {"layers": "1-3", "p": 0.0, "tau": 1.0, "rho": 0.9, "mass": 0.02, "dimensions": "0+5"}
    assert_contract("var", families=["qwen2_5_vl"], parameters=strong, reference=equations.REFERENCES["var"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    assert logits(dtype, "var", layers="1-4", p=0.0, tau=1.5, rho=1.0, mass=0.0).isfinite().all()
    method = VAR(layers="1", tau=2.0, dimensions="search")
    huge = (hidden([3, 3, None]) * 1000).to(torch.bfloat16)
    assert method.sinks(huge.clamp(max=6e4, min=-6e4).to(dtype), layout("tit")).tolist() == [[True, True, False]]

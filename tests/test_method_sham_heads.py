"""sham_heads beyond the contract: how many heads are drawn, and what the draw depends on."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models
from hallu_models.interventions.sham_heads import ShamHeads


def selected(model, batch, method="sham_heads", **parameters):
    """(B, layers, H) heads that are louder."""
    parameters = {"layers": "all", **parameters}
    with torch.no_grad(), hallu_models.attach(model, method, check=False, **parameters) as session:
        model.generate(**batch, max_new_tokens=3)
        return torch.as_tensor(session.observations["selected"].values)


def rows(batch, order):
    """Rows of a batch in which each has a picture."""
    return {name: value[order] for name, value in batch.items()}


def test_as_many_are_louder_as_vhr_s(plain_heads):
    batch = prompts(MIXED, [True, False, True, True])
    drawn, chosen = (selected(plain_heads, batch, method) for method in ("sham_heads", "vhr"))
    assert drawn.sum(dim=-1)[0].tolist() == [2] * 6
    assert bool((drawn.sum(dim=-1) >= chosen.sum(dim=-1)).all())
    assert not drawn[1].any(), "a row without an image stays as it is"
    assert bool((drawn != chosen).any())


def test_the_draw_is_the_prompt_s_own(plain_heads):
    """Neither other rows, nor their order, nor what was drawn before changes it; picture, question and layer do."""
    batch = prompts(MIXED)
    expected = selected(plain_heads, batch)
    torch.rand(3)
    order = [2, 0, 3, 1]
    assert torch.equal(selected(plain_heads, rows(batch, order)), expected[order])
    assert torch.equal(selected(plain_heads, rows(batch, [1])), expected[[1]])
    assert len({tuple(layer.tolist()) for layer in expected.flatten(0, 1)}) > 3
    other = {**batch, "pixel_values": -batch["pixel_values"]}
    longer = {**batch, "input_ids": batch["input_ids"].where(batch["input_ids"] != batch["input_ids"][0, -1], 5)}
    for changed in (
        selected(plain_heads, other),
        selected(plain_heads, longer)[:1],
        selected(plain_heads, batch, draw=1),
    ):
        assert not torch.equal(changed, expected[: len(changed)])


def test_each_head_is_drawn_as_often(plain_heads):
    batch = prompts([(3, 4)] * 60)
    share = selected(plain_heads, batch).float().mean(dim=(0, 1))
    assert share.sum() == pytest.approx(2)
    assert share.min() > 0.4


def test_pixels_are_needed(plain_heads):
    batch = prompts(MIXED)
    del batch["pixel_values"]
    with (
        torch.no_grad(),
        hallu_models.attach(plain_heads, "sham_heads", check=False),
        pytest.raises(ValueError, match="prompt has images|sham_heads needs the images' pixels"),
    ):
        plain_heads.generate(**batch, max_new_tokens=2)


@pytest.mark.parametrize("parameters", [{"alpha": -1.0}, {"draw": -1}, {"alpha": float("nan")}])
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^sham_heads: {name}="):
        ShamHeads(**parameters)

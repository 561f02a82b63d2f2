"""Nullu: what the contract does not see."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts, tiny_llava

from hallu_models import loading, methods, models
from hallu_models.attaching import attach
from hallu_models.engines import directions
from hallu_models.hosts import generate
from hallu_models.interventions import BadArgument, Directions
from hallu_models.interventions.nullu import Nullu

LAYERS = (3, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_hook_is_the_edited_matrix(dtype):
    """W becomes (I - V V') W in the block's last matrix, up to rounding."""
    model, batch = tiny_llava(2).to(dtype), prompts(MIXED)
    batch["pixel_values"] = batch["pixel_values"].to(dtype)
    found = Directions.of("random:3", "nullu")
    with torch.no_grad():
        tokens, plain = generate.scored(model, batch, 6)
        with attach(model, Nullu(layers="3-5", rank=5, directions="random:3"), check=False):
            hooked = generate.scored(model, batch, 6, force=forced(tokens))[1].float()
        for layer in LAYERS:
            weight = model.get_decoder().layers[layer].mlp.down_proj.weight
            v = found.at(layer, weight.T, 5).T
            weight.copy_((torch.eye(len(v)) - v @ v.T) @ weight.float())
        edited = generate.scored(model, batch, 6, force=forced(tokens))[1].float()
    spread = float(edited.amax() - edited.amin())
    assert float((hooked - edited).abs().amax()) < (1e-5 if dtype == torch.float32 else 0.03) * spread
    assert float((plain.float() - edited).abs().amax()) > 0.05 * spread


def forced(tokens):
    steps = iter(tokens.T)
    return lambda _, scores: torch.full_like(scores, -torch.inf).scatter(1, next(steps)[:, None], 0.0)


def test_the_later_half_of_32_is_edited():
    assert Nullu(directions="random:1").bind("llava", 32).layer_list(32) == tuple(range(16, 32))


def test_the_plain_model_needs_no_directions():
    assert Nullu(rank=0).bind("llava", 32).parameters()["rank"] == 0
    assert Nullu(layers="").bind("llava", 32).layer_list(32) == ()
    with pytest.raises(BadArgument, match="nullu: directions= is empty; find them with `hallu calibrate"):
        methods.build("nullu", "llava", 32, {})


def test_results_say_which_directions_they_are_of(tmp_path):
    path = tmp_path / "demo.safetensors"
    size = loading.load("demo", device="cpu").model.get_input_embeddings().weight.shape[1]
    tensors = {f"layers.{layer}": torch.eye(size)[:4] for layer in range(8)}
    directions.write(path, tensors, {"method": "nullu", "model": "demo", "depth": "8"})
    run = models.llava_nullu(pretrained="demo", device="cpu", directions=str(path)).run
    assert f"directions_sha256={Directions.of(str(path), 'nullu').digest}" in run["parameters"]
    assert f"directions={path}" in run["parameters"]


def test_large_states_in_half_precision_stay_numbers():
    model = tiny_llava(2).half()
    with torch.no_grad():
        model.get_decoder().layers[3].mlp.down_proj.weight.mul_(3000)
        batch = prompts(MIXED)
        batch["pixel_values"] = batch["pixel_values"].half()
        with attach(loading.inspect(model), Nullu(layers="3", rank=2, directions="random:1"), check=False):
            logits = generate.scored(model, batch, 3)[1]
    assert bool(logits.isfinite().all())

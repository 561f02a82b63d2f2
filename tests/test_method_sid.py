"""SID: what of its released code would be wrong in a batch, and its counts."""

from __future__ import annotations

import pytest
import torch
from conftest import IMAGE_TOKENS, MIXED, prompts, tiny_llava
from test_edit_points import TOKENS, answered, apart

from hallu_models import loading
from hallu_models.hosts.generate import scored
from hallu_models.interventions import BadArgument
from hallu_models.interventions.sid import SID
from hallu_models.self_check.forcing import forced
from hallu_models.session import Session


def kept(method, batch, tokens, model):
    """(B, T, N) which image tokens the negative rows see."""
    with torch.no_grad(), Session(loading.inspect(model), (method,), observe=True).attached() as session:
        scored(model, batch, tokens.shape[1], force=forced(tokens))
    seen = session.observations["negative.kept"]
    assert seen.axes == ("row", "step", "layer", "image token")
    assert seen.layers == (method.start - 1,)
    return torch.as_tensor(seen.values[:, :, 0])


@pytest.mark.parametrize(("k", "number"), [(0.1, 2), (0.01, 1), (5.0, 5), (100.0, 16)])
def test_a_fraction_and_a_count(k, number):
    found = kept(SID(k=k), prompts(MIXED), TOKENS, tiny_llava(2))
    assert found.sum(dim=-1).unique().tolist() == [number]


def test_rows_choose_for_themselves_and_anew_at_every_token():
    found = kept(SID(k=0.3), prompts(MIXED), TOKENS, tiny_llava(2))
    assert len({tuple(row.flatten().tolist()) for row in found[:, 0]}) == 4
    for row in found:
        assert bool((row[1:] & ~row[:-1]).any()), "a token that was hidden comes back"


def test_all_image_tokens_are_the_plain_model_but_for_the_cut():
    model, batch = tiny_llava(2), prompts(MIXED)
    every = answered(model, (SID(k=float(IMAGE_TOKENS), beta=0.0),), batch, TOKENS)
    with torch.no_grad():
        plain = scored(model, batch, TOKENS.shape[1], force=forced(TOKENS))[1]
    assert apart(every, plain) < 1e-5
    assert apart(answered(model, (SID(k=0.3, beta=0.0),), batch, TOKENS), plain) > 1e-2


def test_a_layer_that_the_model_lacks_is_refused_by_name():
    with pytest.raises(BadArgument, match="sid: start=6: the model has 6 layers; give one from 1 to 5"):
        Session(loading.inspect(tiny_llava(2)), (SID(start=6),))


@pytest.mark.parametrize("wrong", [{"k": 0.0}, {"start": 0}, {"alpha": -1.0}, {"beta": 1.5}, {"layers": "1"}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(BadArgument, match=f"sid: {next(iter(wrong))}="):
        SID(**wrong)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_numbers(dtype):
    model, batch = tiny_llava(2).to(dtype), prompts(MIXED)
    batch["pixel_values"] = batch["pixel_values"].to(dtype)
    assert bool(answered(model, (SID(beta=0.0),), batch, TOKENS).isfinite().all())


def test_a_window_is_no_obstacle():
    """Image tokens out of sight count as the least attended ones."""
    model = tiny_llava(2, window=13)
    found = kept(SID(k=0.3), prompts(MIXED[:1]), TOKENS[:1], model)
    assert found[0, -1].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4]

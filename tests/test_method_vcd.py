"""VCD beyond the contract: what the noise is, and what it depends on."""

from __future__ import annotations

import pytest
import torch
from conftest import MIXED, prompts

import hallu_models
from hallu_models.interventions.vcd import VCD, signal

PICTURE = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_the_schedule_is_read_from_zero():
    """At step 0 one step has been made, at 500 there are 501."""
    assert signal(0) == pytest.approx(1 - (0.005 - 1e-5) / (1 + torch.tensor(6.0).exp()) - 1e-5)
    assert signal(500) == pytest.approx(0.744799, abs=1e-5)
    assert signal(999) == pytest.approx(0.081249, abs=1e-5)


def test_the_picture_keeps_its_share_of_the_variance():
    noise = (VCD().noised(PICTURE) - signal(500) ** 0.5 * PICTURE) / (1 - signal(500)) ** 0.5
    assert noise.mean().abs() < 0.03
    assert noise.std() == pytest.approx(1, abs=0.03)
    assert torch.corrcoef(torch.stack([noise.flatten(), PICTURE.flatten()]))[0, 1].abs() < 0.03


def test_noise_is_the_picture_s_own():
    """Neither what was drawn before nor where the picture lies in a batch changes it."""
    before, expected = torch.get_rng_state(), VCD().noised(PICTURE)
    assert torch.equal(torch.get_rng_state(), before)
    batch = torch.stack([-PICTURE, PICTURE])
    torch.rand(3)
    assert torch.equal(VCD().noised(batch[1]), expected)
    assert torch.equal(VCD().noised(PICTURE.double()), expected)
    for other in (VCD(noise_seed=1).noised(PICTURE), VCD().noised(-PICTURE) + 2 * signal(500) ** 0.5 * PICTURE):
        assert (other - expected).abs().mean() > 0.1


def test_rows_with_one_picture_have_one_noise(plain_heads):
    batch = prompts([MIXED[0], MIXED[0]])
    ids, pixels = batch["input_ids"], batch["pixel_values"]
    same = {**batch, "input_ids": ids[:1].repeat(2, 1), "pixel_values": pixels[:1].repeat(2, 1, 1, 1)}
    with torch.no_grad(), hallu_models.attach(plain_heads, "vcd", check=False, noise_step=900) as session:
        plain_heads.generate(**same, max_new_tokens=3)
        together = torch.as_tensor(session.observations["jsd"].values)
        plain_heads.generate(**{name: value[:1] for name, value in same.items()}, max_new_tokens=3, num_beams=2)
        beams = torch.as_tensor(session.observations["jsd"].values)
    torch.testing.assert_close(together[0], together[1])
    torch.testing.assert_close(beams[:, 0], together[:, 0])
    assert together.min() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_mixed_in_float32(dtype):
    noised = VCD().noised((6e4 * PICTURE.sign()).to(dtype))
    assert noised.dtype == torch.float32
    assert noised.isfinite().all()


@pytest.mark.parametrize(
    "parameters", [{"alpha": -1.0}, {"beta": 0.0}, {"noise_step": 1000}, {"noise_step": -1}, {"noise_seed": -1}]
)
def test_bad_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^vcd: {name}="):
        VCD(**parameters)

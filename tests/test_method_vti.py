"""VTI: what the contract does not see."""

from __future__ import annotations

import pytest
import torch

from hallu_models import methods
from hallu_models.engines import directions
from hallu_models.interventions import BadArgument, LayerStep, Recorder, State
from hallu_models.interventions.vti import VTI


def step(dtype, size):
    at = LayerStep(3, 1, None, None, State("vti", 2), State("vti", 2), {}, Recorder())
    return torch.full((2, 1, size), 1500.0, dtype=dtype), at


def test_a_strength_of_1_turns_a_state_by_a_tenth_of_its_length_wherever_it_points(tmp_path):
    """No cosine has a say in it: states along the direction and against it are turned by as much."""
    path = tmp_path / "v.safetensors"
    towards = torch.tensor([[0.0, 7.0, 0.0]])
    directions.write(path, {"layers.3": towards}, {"method": "vti", "model": "m", "depth": "4"})
    _, at = step(torch.float32, 3)
    states = torch.tensor([[[5.0, 0.0, 0.0]], [[3.0, -4.0, 0.0]]])
    found = VTI(alpha_text=1.0, directions=str(path)).feed_forward_output(states, at)
    for before, after in zip(states[:, 0], found[:, 0]):
        u = before / 5 + torch.tensor([0.0, 0.1, 0.0])
        torch.testing.assert_close(after, 5 * u / u.norm())


def test_the_length_stays_in_half_precision_too():
    hidden, at = step(torch.float16, 4096)
    turned = VTI(directions="random:1").feed_forward_output(hidden, at)
    torch.testing.assert_close(turned.norm(dim=-1), hidden.float().norm(dim=-1))
    assert bool(turned.half().isfinite().all())


def test_the_strength_is_the_families_own():
    (llava,), (other,) = (methods.build("vti", family, 32, {"directions": "random:1"}) for family in ("llava", None))
    assert (llava.alpha_text, other.alpha_text) == (0.9, 0.8)


def test_the_plain_model_needs_no_directions():
    assert VTI(alpha_text=0.0).bind("llava", 32).parameters()["alpha_text"] == 0
    with pytest.raises(BadArgument, match="vti: directions= is empty; find them with `hallu calibrate --method vti"):
        VTI().bind("llava", 32)

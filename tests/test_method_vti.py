"""VTI: what the contract does not see."""

from __future__ import annotations

import pytest
import torch
from references import vti as equations

from hallu_models import methods
from hallu_models.attaching import attach
from hallu_models.engines import directions
from hallu_models.hosts.host import UnsupportedModel
from hallu_models.interventions import BadArgument, LayerStep, Recorder, State
from hallu_models.interventions.vti import VTI
from hallu_models.testing import assert_contract, questions

FACTS = {"method": "vti", "model": "m"}


def step(dtype, size):
    at = LayerStep(3, 1, None, None, State("vti", 2), State("vti", 2), {}, Recorder())
    return torch.full((2, 1, size), 1500.0, dtype=dtype), at


def test_a_strength_of_1_turns_a_state_by_a_tenth_of_its_length_wherever_it_points(tmp_path):
    """No cosine has a say in it: states along the direction and against it are turned by as much."""
    path = tmp_path / "v.safetensors"
    towards = torch.tensor([[0.0, 7.0, 0.0]])
    directions.write(path, {"layers.3": towards}, {**FACTS, "depth": "4"})
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
    assert (llava.alpha_text, llava.alpha_image) == (0.9, 0.9)
    assert (other.alpha_text, other.alpha_image) == (0.8, 0.0)


@pytest.mark.parametrize("family", ["llava_next", "instructblip", "gemma3"])
def test_the_image_encoders_half_alone_is_the_reference(family):
    """Of whole pictures and of tiles, position by position."""
    strong = {"alpha_text": 0.0, "alpha_image": 6.0, "directions": "random:7"}
    report = assert_contract("vti", families=[family], parameters=strong, reference=equations.reference)
    assert "reference" in report.checks[family]


@pytest.mark.parametrize(
    ("family", "number", "said"),
    [
        ("qwen2_5_vl", None, "packs pictures of any size into one row"),
        ("llava", 3, r"are those of 3 positions in the image encoder, and a picture has 17"),
        ("llava", 0, "hold none of the image encoder, whose pictures have no fixed number of positions"),
    ],
)
def test_directions_that_the_encoder_has_no_place_for_are_refused(family, number, said, tmp_path):
    path, host = "random:1", questions.host(family)
    if number is not None:
        path = str(tmp_path / "v.safetensors")
        tensors = {f"layers.{layer}": torch.ones(1, 32) for layer in range(4)}
        encoder = {"encoder.0": torch.ones(number, 16)} if number else {}
        directions.write(tmp_path / "v.safetensors", {**tensors, **encoder}, {**FACTS, "depth": "4"})
    with pytest.raises((UnsupportedModel, BadArgument), match=said):
        host.generate(questions.conversations([0]), "vti", alpha_image=1.0, directions=path, max_new_tokens=1)


def test_one_image_of_several_cannot_be_chosen():
    strong = {"alpha_image": 1.0, "directions": "random:1"}
    with (
        pytest.raises(ValueError, match="vti: the image encoder is edited for all images; leave images=all"),
        attach(questions.host("llava"), "vti", images="last", check=False, **strong),
    ):
        pass


def test_the_plain_model_needs_no_directions():
    assert VTI(alpha_text=0.0).bind("llava", 32).parameters()["alpha_text"] == 0
    assert VTI(alpha_text=0.0).encoder_layers(24) == ()
    with pytest.raises(BadArgument, match="vti: directions= is empty; find them with `hallu calibrate --method vti"):
        VTI().bind("llava", 32)

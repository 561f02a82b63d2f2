"""Files of directions, and directions that are drawn in their place."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors.torch import save_file

from hallu_models.engines import directions
from hallu_models.interventions import BadArgument, Directions

FACTS = {"method": "nullu", "model": "a model", "depth": "3"}
ROWS = torch.arange(8.0).view(2, 4)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "found.safetensors"
    directions.write(path, {"layers.1": ROWS, "layers.2": ROWS + 1}, FACTS)
    return path


def test_what_is_written_is_what_is_read(file):
    found = Directions.of(str(file), "nullu")
    found.require(3, (1, 2), 2)
    like = torch.zeros(5, 7, 4, dtype=torch.float16)
    assert torch.equal(found.at(2, like, 2), ROWS + 1)
    assert torch.equal(found.at(1, like), ROWS[:1])
    assert len(found.digest) == 64


def test_a_file_that_has_changed_is_another(file):
    before = Directions.of(str(file), "nullu")
    directions.write(file, {"layers.1": torch.ones(3, 4)}, FACTS)
    after = Directions.of(str(file), "nullu")
    assert len(after.tensors["layers.1"]) == 3
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "directions= is empty"),
        ("nowhere.safetensors", "directions=nowhere.safetensors: no such file"),
        ("random:", "directions=random:: no such file"),
        ("{text}", "cannot be read as safetensors"),
        ("{other}", "are those of vti"),
        ("{bare}", "are those of no method"),
    ],
)
def test_what_is_no_file_of_this_method_says_how_to_get_one(tmp_path, source, said):
    places = {name: tmp_path / f"{name}.safetensors" for name in ("text", "other", "bare")}
    places["text"].write_text("no tensors", encoding="utf-8")
    directions.write(places["other"], {"layers.1": ROWS}, {**FACTS, "method": "vti"})
    save_file({"layers.1": ROWS}, places["bare"])
    with pytest.raises(BadArgument, match=f"^nullu: .*{said}.*`hallu calibrate --method nullu .* as a control"):
        Directions.of(source.format(**places), "nullu")


@pytest.mark.parametrize(
    ("depth", "layers", "number", "said"),
    [
        (4, (1,), 1, "those of a model of 3 layers, this one has 4"),
        (3, (0,), 1, "hold 0 directions of layer 0, 1 are asked for"),
        (3, (1,), 3, "hold 2 directions of layer 1, 3 are asked for"),
    ],
)
def test_directions_of_another_model_are_refused(file, depth, layers, number, said):
    with pytest.raises(BadArgument, match=re.escape(said)):
        Directions.of(str(file), "nullu").require(depth, layers, number)


def test_hidden_states_of_another_size_are_refused(file):
    with pytest.raises(
        BadArgument, match=r"of a model\) have 4 features, and hidden states 5: they are another model's"
    ):
        Directions.of(str(file), "nullu").at(1, torch.zeros(1, 5))


def test_drawn_ones_are_orthonormal_and_differ_by_layer_and_seed_alone():
    like, drawn = torch.zeros(2, 32), Directions.of("random:7", "nullu")
    drawn.require(99, range(99), 99)
    rows = drawn.at(3, like, 6)
    torch.testing.assert_close(rows @ rows.T, torch.eye(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(drawn.at(3, like, 2), rows[:2])
    assert torch.equal(rows, Directions.of("random:7", "vti").at(3, like, 6))
    for other in (drawn.at(4, like, 6), Directions.of("random:8", "nullu").at(3, like, 6)):
        assert float((rows * other).sum(dim=-1).abs().amax()) < 0.9

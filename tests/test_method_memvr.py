"""MemVR: what the contract does not see."""

from __future__ import annotations

import pytest
import torch

from hallu_models.interventions import BadArgument
from hallu_models.interventions.memvr import MemVR, loudness
from hallu_models.testing import questions


def test_of_32_layers_the_released_ones_are_looked_at_and_those_behind_edited():
    """Starting layer 5 and ending layer 16 are left out."""
    bound = MemVR().bind("llava", 32)
    assert bound.early_layers(32) == tuple(range(6, 16))
    assert bound.layer_list(32) == tuple(range(6, 17))
    assert bound.layers == "6-15"


@pytest.mark.parametrize("off", [{"rho": 0.0}, {"tau": 1.0}, {"layers": ""}])
def test_the_plain_model_looks_at_no_layer(off):
    assert MemVR(**off).bind("llava", 32).layer_list(32) == ()


def test_the_last_layer_has_none_behind_it():
    with pytest.raises(BadArgument, match="layer 3 is the last of this model, .* write for example layers=0-2"):
        MemVR(layers="1-3").bind("llava", 4)


def test_rows_retrace_in_layers_of_their_own_and_once_a_token():
    host, asked = questions.host("llava"), questions.conversations([0, 1, 3, 4])
    answers = host.generate(asked, method="memvr", layers="0-2", tau=0.93, rho=0.7, max_new_tokens=8)
    retraces = torch.from_numpy(answers[0].observations["retraces"].values)  # rows, steps, layers
    assert int(retraces.sum(dim=-1).max()) == 1
    assert len({tuple(row.flatten().tolist()) for row in retraces}) > 1
    assert int(retraces.any(dim=1).any(dim=0).sum()) > 1, "more than one layer"
    doubt = torch.from_numpy(answers[0].observations["uncertainty"].values)
    behind = retraces.cumsum(dim=-1) - retraces.int() > 0
    assert torch.equal(doubt.isnan(), behind)
    assert torch.equal(doubt > 0.93, retraces.bool())


def test_padding_is_not_heard():
    states = torch.ones(2, 3, 4)
    states[0, 0] = 99.0
    real = torch.tensor([[False, True, True], [True, True, True]])
    assert loudness(states, real).flatten().tolist() == [1.0, 1.0]

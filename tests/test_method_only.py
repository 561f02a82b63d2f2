"""ONLY: what the contract does not see."""

from __future__ import annotations

import pytest
import torch

from hallu_models.attaching import attach
from hallu_models.hosts.host import UnsupportedModel
from hallu_models.interventions import BadArgument
from hallu_models.interventions.only import ONLY, below_peaks, entropy
from hallu_models.testing import questions


@pytest.mark.parametrize("layers", ["0+1", "31"])
def test_it_is_one_layer_in_front_of_the_last(layers):
    with pytest.raises(BadArgument, match="one layer in front of the last one; write for example layers=0"):
        ONLY(layers=layers).bind("llava", 32)


def test_the_last_layer_is_the_models():
    assert ONLY().bind("llava", 40).early_layers(40) == (38, 39)
    assert ONLY(alpha_agree=0.0, alpha_differ=0.0).bind("llava", 40).early_layers(40) == ()


def test_peaks_are_found_head_by_head_among_the_columns_alone():
    attention = torch.tensor([[[0.9, 0.1, 0.2, 0.6, 0.1, 0.5], [0.0, 0.5, 0.1, 0.1, 0.1, 9.0]]])
    columns = torch.tensor([[[False, True, True, True, True, False]]])
    expected = torch.tensor([[[0, 0.1, 0.2, 0.0, 0.1, 0], [0, 0.0, 0.1, 0.1, 0.1, 0]]])
    torch.testing.assert_close(below_peaks(attention, columns), expected)


def test_no_weight_has_no_entropy():
    assert entropy(torch.zeros(1, 1, 4)).tolist() == [[0.0]]
    torch.testing.assert_close(entropy(torch.tensor([[[2.0, 2.0]]])), torch.tensor([[2.0]]).log(), atol=1e-5, rtol=0)


def test_rows_keep_heads_of_their_own_and_may_agree_or_not():
    host, asked = questions.host("llava"), questions.conversations([0, 1, 3, 4])
    answers = host.generate(asked, method="only", layers="1", theta=0.9, max_new_tokens=6)
    heads = torch.from_numpy(answers[0].observations["text_heads"].values)
    assert len({tuple(row.flatten().tolist()) for row in heads}) == 4
    distance = torch.from_numpy(answers[0].observations["distance"].values)
    assert 0 < float((distance < 0.9).float().mean()) < 1


@pytest.mark.parametrize(("family", "number"), [("auto", 1), ("gemma3", 4)])
def test_models_whose_layers_are_of_another_kind_are_refused(family, number):
    """As an unlisted model too, where no table says so."""
    said = f"only needs the parts of layers of .* has {number} norms, not one in front of attention and one in front"
    with pytest.raises(UnsupportedModel, match=said), attach(questions.host(family).model, ONLY()):
        pass
